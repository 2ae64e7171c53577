"""What a run ran on: a record for each start."""

import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_lab.config.fit import fit


def test_every_start_is_recorded(tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = tiny("budget.images=16")
    file = Path(cfg.run.dir) / "surroundings.json"
    monkeypatch.setattr(sys, "argv", ["/somewhere/gan_lab/cli/train.py", "lr=1e-3"])
    fit(cfg)
    (start,) = json.loads(file.read_text())
    assert start["command"] == ["gan-lab", "train", "lr=1e-3"] and start["images_seen"] == 0
    assert (start["torch"], start["python"]) == (torch.__version__, platform.python_version())
    assert start["processes"] == 1 and start["device"].startswith("cpu (")
    file.write_text(json.dumps([{"torch": "1"}]))
    monkeypatch.setattr(sys, "argv", ["mine.py"])
    fit(tiny("budget.images=24", "run.name=again"))
    starts = json.loads(file.read_text())
    assert [len(starts), starts[0], starts[1]["command"]] == [2, {"torch": "1"}, ["mine.py"]]
    file.write_text('[{"torch"')  # somebody's half of a file is no reason to fail
    fit(tiny("budget.images=32"))
    assert len(json.loads(file.read_text())) == 1
