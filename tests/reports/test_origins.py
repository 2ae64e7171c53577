"""Where evaluations are from: at how many images, against which data; stale ones are left out or marked."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gan_lab.metrics.measuring import append_records, forget_results
from gan_lab.metrics.protocol import Measurement, read_results
from gan_lab.reports.comparison import compare
from gan_lab.reports.listing import read_listed_run
from gan_lab.reports.run_page import write_report
from gan_lab.runs.folder import RunFolder
from tests.helpers.html_reader import read_page

KEY = "eval/fd_10k"
OWN, OTHER = {"real_content": "f", "real_data": "own"}, {"real_content": "g", "real_data": "else"}


def run(
    folder: Path, rows: dict[int, float], results: dict[str, Any] | None, checkpoint: int | None = None, **state: Any
) -> RunFolder:
    """A run on the data set `faces` with the evaluations `rows` in its log, by images seen."""
    folder.mkdir(parents=True)
    own = {"images": 300, "classes": ["cat", "dog"], "hash": "own"}
    metrics = {"fd": {"_target_": "gan_lab.metrics.frechet.FrechetDistance"}}
    config = {"dataset": {"source": "data/faces"}, "data_content": own, "budget": {"images": 128},
              "evaluation": {"metrics": metrics}}  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    lines = [f"progress/images_seen,{KEY}", *(f"{seen},{value}" for seen, value in rows.items()), ""]
    (folder / "metrics.csv").write_text("\n".join(lines))
    if results is not None:
        (folder / "results.json").write_text(json.dumps({KEY: results}))
    if checkpoint is not None:
        (folder / "checkpoints").mkdir()
        (folder / f"checkpoints/images_{checkpoint:010d}.ckpt").touch()
    (folder / "state.json").write_text(json.dumps({"state": "finished", "images_seen": max(rows, default=0), **state}))
    return RunFolder(folder)


@pytest.mark.parametrize(
    ("rows", "results", "checkpoint", "final", "origin"),
    [
        ({64: 9.0, 128: 4.0}, {"value": 4.0, "images_seen": 128, **OWN}, 128, 4.0, "at 128 images against faces"),
        # resumed after its end: the log is newer than results.json
        ({64: 4.0, 128: 9.0}, {"value": 4.0, "images_seen": 64, **OWN}, 128, 9.0, "at 128 images against faces"),
        # evaluated by a command, of a run that was not evaluated since
        ({64: 4.0}, {"value": 5.0, "images_seen": 128, **OWN}, 128, 5.0, "at 128 images against faces"),
        ({64: 4.0}, {"value": 5.0, "images_seen": 128, "real_source": "x/cars", **OTHER}, 128, 5.0,
         "at 128 images against other data: x/cars"),
        # returned to an earlier checkpoint
        ({64: 9.0}, {"value": 4.0, "images_seen": 128, **OWN}, 64, 9.0, "at 64 images"),
        # the weights of the last evaluation were not saved
        ({64: 9.0, 96: 4.0}, None, 64, 4.0, "at 96 images (the newest checkpoint has 64)"),
        # metrics without real images
        ({128: 9.0}, {"value": 9.0, "images_seen": 128}, None, 9.0, "at 128 images"),
    ],
)  # fmt: skip
def test_final_values(
    rows: dict[int, float], results: dict | None, checkpoint: int | None, final: float, origin: str, tmp_path: Path
) -> None:
    folder = run(tmp_path / "run", rows, results, checkpoint)
    assert folder.finals[KEY] == final and folder.origin(KEY) == origin
    assert folder.origin("train/loss") == "" == RunFolder(tmp_path).origin(KEY)


def test_data_that_got_another_path(tmp_path: Path) -> None:
    """An evaluation has the path of its time, also one during training, whose protocol is in `evaluations.csv`."""
    protocol = {"samples": 10_000, "images_seen": 64, "real_source": "x/people", **OWN}
    folder = run(tmp_path / "run", {64: 4.0, 96: 3.0}, {"value": 4.0, **protocol}).path
    append_records(
        folder / "evaluations.csv", 64, "ema", {"fd_10k": Measurement.from_json({"value": 4.0, **protocol}, KEY)}
    )
    found = RunFolder(folder)
    assert found.origin(KEY, 64) == "at 64 images against people" and found.origin(KEY) == "at 96 images against faces"
    run(tmp_path / "done", {64: 4.0}, {"value": 4.0, **protocol})
    assert RunFolder(tmp_path / "done").origin(KEY) == "at 64 images against people"


def test_a_running_run_has_not_lost_its_newest_weights(tmp_path: Path) -> None:
    assert run(tmp_path / "run", {96: 4.0}, None, 64, state="running", host="elsewhere").origin(KEY) == "at 96 images"


def test_reports_name_the_origin(tmp_path: Path) -> None:
    run(tmp_path / "one", {64: 3.0, 128: 4.0}, {"value": 4.0, "images_seen": 128, **OWN}, 128)
    assert read_listed_run(tmp_path / "one").metric == f"{KEY} 3 at 64 images against faces"
    page = read_page(write_report(tmp_path / "one"))
    assert any("at 128 images against faces" in tile.text for tile in page.all("div", "tile"))
    assert "Data: data/faces; 300 images; 2 classes: cat, dog" in page.text
    run(tmp_path / "two", {64: 3.0, 128: 4.0}, {"value": 4.0, "images_seen": 128, "real_source": "cars", **OTHER}, 128)
    remarks = compare(tmp_path, [KEY]).remarks()
    assert "Evaluated at 128 images against faces: one." in remarks
    assert "Evaluated at 128 images against other data: cars: two." in remarks


def test_results_of_later_weights_are_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    records = {"a": {"value": 1, "images_seen": 64}, "b": {"value": 2, "images_seen": 128}, "c": {"value": 3}}
    file.write_text(json.dumps(records))
    forget_results(file, 64)
    assert list(read_results(file)) == ["a", "c"]
    forget_results(tmp_path / "missing.json", 64)
    file.write_text("{")
    forget_results(file, 64)
    assert file.read_text() == "{"
