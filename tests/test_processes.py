"""Two processes that share a batch do what one process does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from gan_lab.gans.catalogue import CATALOGUE
from tests.jointly import in_two_processes
from tests.two_processes import SYNCHRONIZED, overrides, synchronized


@pytest.fixture(scope="module")
def joint_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of all models after training in two processes, one file for each rank."""
    folder = tmp_path_factory.mktemp("two")
    in_two_processes("tests.two_processes", str(folder))
    return folder


@pytest.mark.parametrize("model", [entry.name for entry in CATALOGUE])
def test_two_processes_equal_one_on_the_same_global_batch(model: str, joint_runs: Path, tmp_path: Path) -> None:
    assert_equal_to_one(model, joint_runs, overrides(model, tmp_path, "hardware=cpu"))


@pytest.mark.parametrize("name", SYNCHRONIZED)
def test_synchronized_batch_norm_makes_two_processes_one(name: str, joint_runs: Path, tmp_path: Path) -> None:
    assert_equal_to_one(f"synchronized_{name}", joint_runs, synchronized(name, tmp_path, "hardware=cpu"))


def assert_equal_to_one(name: str, joint_runs: Path, words: list[str]) -> None:
    first, second = (torch.load(joint_runs / f"{name}_{rank}.pt", weights_only=True) for rank in range(2))
    module = fit(compose(*words)).module
    moved = 0
    for key, alone in module.state_dict().items():
        if not isinstance(alone, torch.Tensor):
            assert_same_extra_state(first[key], second[key], alone)
            continue
        assert torch.equal(first[key], second[key]), f"{key}: the processes drifted apart"
        assert torch.allclose(first[key], alone, atol=1e-5, rtol=0), key
        moved += 1
    assert moved


def assert_same_extra_state(first: dict, second: dict, alone: dict) -> None:
    """Counters, and tensors of a size that is not known beforehand."""
    for name, value in alone.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(first[name], second[name]) and torch.allclose(first[name], value, atol=1e-5, rtol=0)
        else:
            assert value == first[name] == second[name], name


def test_command_line_starts_two_processes(tmp_path: Path) -> None:
    """As a user types it: one run folder, written by one of the processes."""
    command = [sys.executable, "-m", "gan_lab.cli.main", "train", "hardware=ddp_cpu", "debug=fast", "budget.images=64"]
    settings = ["architecture.generator.width=8", "architecture.discriminator.width=8", "run.name=pair"]
    done = subprocess.run([*command, *settings], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["pair"]
    assert (tmp_path / "runs/pair/samples/final.png").is_file()
    assert done.stderr.count("Done:") == 1


def test_both_processes_of_a_command_go_back_and_end_with_a_sentence(tmp_path: Path) -> None:
    """Lightning starts the second process once, and not again when a run goes back."""
    command = [sys.executable, "-m", "gan_lab.cli.main", "train", "hardware=ddp_cpu", "debug=fast", "budget.images=64"]
    words = ["width=8", "run.name=pair", "~callbacks.progress", "lr=1e18", "on_non_finite=rollback", "rollback.times=1"]
    done = subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.count("Rollback 1: the run goes on from 0 images with 0.5 times the rates.") == 1
    told = re.findall(
        r"gan-lab (train[^:]*): Training stopped, for the generator's term adversarial is nan", done.stderr
    )
    assert "train" in told and set(told) <= {"train", "train (process 1)"}  # which the first may end before it says so
