"""The first process of a run, which writes files."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gan_lab.ranks import is_first_process, rank
from gan_lab.runs.state import FAILED, RUNNING, RunState, note_failure, read_state


@pytest.fixture
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the environment variables of launchers."""
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"RANK": "0", "LOCAL_RANK": "0", "SLURM_PROCID": "3"}, True),  # torchrun in a SLURM task
        ({"RANK": "4", "LOCAL_RANK": "0"}, False),
        ({"SLURM_PROCID": "0"}, True),
        ({"SLURM_PROCID": "1"}, False),  # SLURM alone sets no LOCAL_RANK
        ({"LOCAL_RANK": "1", "SLURM_PROCID": "0"}, False),  # started by Lightning in an interactive job
        ({"NODE_RANK": "1"}, False),
        ({"NODE_RANK": "1", "LOCAL_RANK": "0"}, False),  # the first process of a second machine
        ({"GROUP_RANK": "1", "LOCAL_RANK": "0"}, False),
    ],
)
def test_environment_variables_determine_the_first_process(
    environment: dict[str, str], first: bool, no_launcher: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() is first


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, 0),
        ({"RANK": "4", "LOCAL_RANK": "0"}, 4),
        ({"SLURM_PROCID": "3"}, 3),
        ({"LOCAL_RANK": "1"}, 1),
    ],
)
def test_rank_in_messages(
    environment: dict[str, str], expected: int, no_launcher: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert rank() == expected


@pytest.mark.parametrize(("rank", "first"), [(0, True), (1, False)])
def test_an_initialized_process_group_takes_precedence(
    rank: int, first: bool, no_launcher: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spawned processes have no such environment variables."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: rank)
    assert is_first_process() is first
    monkeypatch.setenv("RANK", str(1 - rank))
    assert is_first_process() is first


def test_torch_is_not_imported() -> None:
    code = (
        "import sys, gan_lab.ranks, gan_lab.runs.state\n"
        "gan_lab.ranks.is_first_process()\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_first_process_of_a_second_machine_does_not_write_the_state(
    tmp_path: Path, no_launcher: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "0")
    note_failure(tmp_path / "run", "the disk of machine 1")
    RunState(tmp_path / "run").write(RUNNING, 0, 100)
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("NODE_RANK", "0")
    note_failure(tmp_path / "run", "the disk of machine 0")
    assert read_state(tmp_path / "run")["state"] == FAILED
