"""State of a run after a command that was refused or failed."""

import json
import os
from pathlib import Path

import pytest

from gan_lab.runs.state import RUNNING, RunState, is_dead, note_failure, read_state


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


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not show when processes began")
def test_another_process_may_have_the_number_of_a_dead_one(tmp_path: Path) -> None:
    """As after a restart of a container, in which numbers are small and begin again."""
    RunState(tmp_path).write(RUNNING, 8, 64)
    state = read_state(tmp_path)
    assert state["process"] == os.getpid() and not is_dead(state)
    assert is_dead(state | {"process_start": state["process_start"] + "0"})
    assert not is_dead(state | {"process_start": None})
    parent = state | {"process": os.getppid()}  # runs, but began at another time
    assert is_dead(parent) and not is_dead(parent | {"process_start": None})
