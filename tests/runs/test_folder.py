"""Facts of a run that several commands print."""

import json
import math
from pathlib import Path

import pytest
import yaml

from gan_lab.reports.listing import read_listed_run
from gan_lab.runs.folder import RunFolder


@pytest.mark.parametrize(
    ("seen", "budget", "summary", "progress"),
    [
        (64, 64, "64 of 64 images seen in 1:04 min of training", "100 %"),
        (48, 64, "48 of 64 images seen in 48 s of training", "75 %"),
        (2048, 2000, "2,048 images seen (budget 2,000; the last batch is complete) in 34:08 min of training", "100 %"),
        (48, None, "48 images seen in 48 s of training", "48"),
    ],
)
def test_images_and_time(seen: int, budget: int | None, summary: str, progress: str, tmp_path: Path) -> None:
    """With one image per second. The list of runs has the same time."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"budget": {"images": budget}}))
    (tmp_path / "metrics.csv").write_text(f"progress/images_seen,progress/images_per_second\n{seen},1\n")
    listed = read_listed_run(tmp_path)
    assert RunFolder(tmp_path).summary() == summary and listed.progress() == progress
    assert listed.seconds == RunFolder(tmp_path).seconds == seen


def test_time_of_all_starts(tmp_path: Path) -> None:
    """The row at the end of a run is replaced when it is resumed, and the log of a branch begins later."""
    (tmp_path / "metrics.csv").write_text("progress/images_seen,progress/images_per_second\n64,1\n")
    for state, seconds in (("finished", 12.5), ("stopped", 12.5), ("running", 64)):
        (tmp_path / "state.json").write_text(json.dumps({"state": state, "training_seconds": 12.5}))
        assert RunFolder(tmp_path).seconds == seconds
    for damaged in ("x", -1, math.inf, None):
        (tmp_path / "state.json").write_text(json.dumps({"state": "finished", "training_seconds": damaged}))
        assert RunFolder(tmp_path).seconds == 64
