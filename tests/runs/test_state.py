"""State of a run after a command that was refused or failed."""

import json
import os
from pathlib import Path

import pytest

from gan_lab.runs.state import note_failure, read_state


@pytest.mark.parametrize("state", ["finished", "stopped", "failed"])
def test_a_run_that_had_ended_keeps_its_state(state: str, tmp_path: Path) -> None:
    """A command that was refused has not changed it."""
    before = {"state": state, "reason": "its own", "process": os.getppid()}
    (tmp_path / "state.json").write_text(json.dumps(before))
    note_failure(tmp_path, "lr=-1 is not allowed.")
    assert read_state(tmp_path) == before | {"refused": "lr=-1 is not allowed."}


def test_a_failure_is_that_of_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of one that failed before training: a later command that is refused does not replace the reason."""
    note_failure(tmp_path, "the first reason")
    assert read_state(tmp_path)["process"] == os.getpid()
    monkeypatch.setattr("os.getpid", lambda: 1)
    note_failure(tmp_path, "the second one")
    found = read_state(tmp_path)
    assert (found["reason"], found["refused"]) == ("the first reason", "the second one")


@pytest.mark.parametrize("before", [{}, {"state": "running", "process": os.getpid()}])
def test_a_run_that_failed(before: dict, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(json.dumps(before))
    note_failure(tmp_path, "the reason")
    found = read_state(tmp_path)
    assert (found["state"], found["reason"], "refused" in found) == ("failed", "the reason", False)
