"""`environment.json` has one record for each start of a run."""

import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_lab.training.fit import fit


def test_every_start_is_recorded(tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = tiny("budget.images=16")
    file = Path(cfg.run.dir) / "environment.json"
    monkeypatch.setattr(sys, "argv", ["/somewhere/gan_lab/cli/train.py", "lr=1e-3"])
    fit(cfg)
    (start,) = json.loads(file.read_text())
    assert start["command"] == ["gan-lab", "train", "lr=1e-3"] and start["images_seen"] == 0
    assert (start["torch"], start["python"]) == (torch.__version__, platform.python_version())
    assert start["processes"] == 1 and start["device"].startswith("cpu (")
    assert start["training_images"] == 1797 and set(start["parameters"]) == {"generator", "discriminator"}
    assert start["parameters"]["generator"] > 1000 and "commit" in start
    file.write_text(json.dumps([{"torch": "1"}]))
    monkeypatch.setattr(sys, "argv", ["mine.py"])
    fit(tiny("budget.images=24", "run.name=again"))
    starts = json.loads(file.read_text())
    assert [len(starts), starts[0], starts[1]["command"]] == [2, {"torch": "1"}, ["mine.py"]]
    file.write_text('[{"torch"')  # a damaged file is replaced
    fit(tiny("budget.images=32"))
    assert len(json.loads(file.read_text())) == 1
