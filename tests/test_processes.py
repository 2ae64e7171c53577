"""Two processes with half of a batch each train like one process with all of it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gan_lab.config.compose import compose
from gan_lab.training.fit import fit
from tests.helpers import models_in_two_processes
from tests.helpers.distributed import run_in_two_processes
from tests.helpers.models_in_two_processes import SYNCHRONIZED, overrides, synchronized
from tests.helpers.representatives import MODELS


@pytest.fixture(scope="module")
def two_process_runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the selected models after training in two processes, one file for each rank."""
    folder = tmp_path_factory.mktemp("two")
    here = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    models = [item.callspec.params["model"] for item in here if "model" in item.callspec.params]
    run_in_two_processes(models_in_two_processes.main, folder, models, seconds=600)
    return folder


@pytest.mark.parametrize("model", MODELS)
def test_two_processes_equal_one_on_the_same_global_batch(model: str, two_process_runs: Path, tmp_path: Path) -> None:
    assert_equal_to_one(model, two_process_runs, overrides(model, tmp_path, "hardware=cpu"))


@pytest.mark.parametrize("name", SYNCHRONIZED)
def test_two_processes_with_synchronized_batch_norm_equal_one(
    name: str, two_process_runs: Path, tmp_path: Path
) -> None:
    assert_equal_to_one(f"synchronized_{name}", two_process_runs, synchronized(name, tmp_path, "hardware=cpu"))


def assert_equal_to_one(name: str, two_process_runs: Path, overrides: list[str]) -> None:
    first, second = (torch.load(two_process_runs / f"{name}_{rank}.pt", weights_only=True) for rank in range(2))
    module = fit(compose(*overrides)).module
    compared = 0
    for key, expected in module.state_dict().items():
        if not isinstance(expected, torch.Tensor):
            assert_same_extra_state(first[key], second[key], expected)
            continue
        assert torch.equal(first[key], second[key]), f"{key}: the two processes differ"
        assert torch.allclose(first[key], expected, atol=1e-5, rtol=0), key
        compared += 1
    assert compared


def assert_same_extra_state(first: dict, second: dict, expected: dict) -> None:
    """Compare extra states: counters, and tensors of variable size."""
    for name, value in expected.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(first[name], second[name]) and torch.allclose(first[name], value, atol=1e-5, rtol=0)
        else:
            assert value == first[name] == second[name], name


def test_command_line_starts_two_processes(tmp_path: Path) -> None:
    """The command of a user: a single run folder, written by one of the processes."""
    command = [sys.executable, "-m", "gan_lab.cli.main", "train", "hardware=ddp_cpu", "debug=fast", "budget.images=64"]
    settings = ["architecture.generator.width=8", "architecture.discriminator.width=8", "run.name=pair"]
    done = subprocess.run([*command, *settings], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["pair"]
    assert (tmp_path / "runs/pair/samples/final.png").is_file()
    assert done.stderr.count("Done:") == 1


def test_both_processes_of_a_command_roll_back_and_end_with_a_message(tmp_path: Path) -> None:
    """Lightning starts the second process once, and not again after a rollback."""
    command = [sys.executable, "-m", "gan_lab.cli.main", "train", "hardware=ddp_cpu", "debug=fast", "budget.images=64"]
    overrides = [
        "width=8",
        "run.name=pair",
        "~callbacks.progress",
        "lr=1e18",
        "trouble.on_non_finite=rollback",
        "trouble.rollback.times=1",
    ]
    done = subprocess.run([*command, *overrides], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.count("Rollback 1: resuming from 0 images with 0.5 times the learning rates.") == 1
    reported = re.findall(
        r"gan-lab (train[^:]*): Training stopped because the generator's term adversarial is nan", done.stderr
    )
    assert "train" in reported and set(reported) <= {
        "train",
        "train (process 1)",
    }  # the first may end the second before it reports


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds the second process in /proc")
def test_a_stop_signal_while_the_second_process_loads(tmp_path: Path) -> None:
    """Both stop before their first batch; if the second one ended alone, Lightning would kill the first."""
    command = [sys.executable, "-m", "gan_lab.cli.main", "train", "hardware=ddp_cpu", "width=8", "run.name=pair"]
    run = subprocess.Popen([*command, "~callbacks.progress"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    end = time.monotonic() + 100
    while not (found := [int(each) for each in children.read_text().split() if is_training(int(each))]):
        assert time.monotonic() < end and run.poll() is None
        time.sleep(0.05)
    for process in (*found, run.pid):
        os.kill(process, signal.SIGTERM)
    _, text = run.communicate(timeout=100)
    assert run.returncode == 75 and "SIGTERM: stopped" in text and "Traceback" not in text, text
    assert json.loads((tmp_path / "runs/pair/state.json").read_text())["state"] == "stopped"


def is_training(process: int) -> bool:
    """Whether this is the second process of a run, and not a helper such as one that reads the machine's name."""
    try:
        return b"gan_lab.cli.train" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # it has ended
        return False
