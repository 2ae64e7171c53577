"""The first process of a run, which writes files."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import gan_lab
from gan_lab.errors import ConfigError
from gan_lab.ranks import COUNTS, RANKS, is_first_process, rank, sign_of_processes
from gan_lab.runs.state import FAILED, RUNNING, RunState, note_failure, read_state
from tests.conftest import SMALL

Command = Callable[..., "object"]


@pytest.fixture
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the environment variables of launchers."""
    for name in (*RANKS, "WORLD_SIZE", "SLURM_NTASKS", "SLURM_STEP_ID", "SLURM_JOB_NAME"):
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
        ({"RANK": "", "SLURM_PROCID": ""}, True),
        ({"RANK": "abc"}, True),
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


@pytest.mark.parametrize(
    ("environment", "sign"),
    [
        ({}, None),
        ({"RANK": "0", "WORLD_SIZE": "1"}, None),
        ({"WORLD_SIZE": "4"}, None),  # nothing has a rank
        ({"RANK": "0", "WORLD_SIZE": "2"}, "WORLD_SIZE=2"),
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "2"}, "LOCAL_RANK=1"),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, None),  # a batch script, which srun has not started
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "bash"}, None),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "x"}, "SLURM_NTASKS=4"),
    ],
)
def test_sign_of_several_processes(
    environment: dict[str, str], sign: str | None, no_launcher: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert sign_of_processes() == sign


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        (
            {"RANK": "1"},
            "RANK=1 shows that a launcher .* hardware.devices=1 is for one: set hardware.devices",
        ),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "WORLD_SIZE=2 shows that a launcher"),
        (
            {"SLURM_PROCID": "abc"},
            "SLURM_PROCID=abc is not allowed: it must be the whole number of",
        ),
    ],
)
def test_one_process_of_several_is_refused(
    environment: dict[str, str], sentence: str, command: Command, no_launcher: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would train without a lock, a log and a state beside the first one."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    refused = command("train", *SMALL, "run.dir=run")
    assert refused.status == 2 and re.search(sentence, refused.err) and not Path("run/checkpoints").exists()
    cfg = gan_lab.compose(*SMALL, "run.dir=run")
    with pytest.raises(ConfigError, match=sentence):
        gan_lab.fit(cfg)


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    """In a new process, in which Lightning reads them when it is imported."""
    command = [sys.executable, "-m", "gan_lab.cli.main", "train", *SMALL, "run.dir=run"]
    empty = dict.fromkeys((*RANKS, *COUNTS), "")
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | empty, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


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
