"""Several processes per run, and several runs at once: all processes of a run use the same settings and folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gan_lab.runs.state import read_state
from tests.helpers.distributed import ROOT, free_port

TINY = (
    "dataset=ring", "architecture=mlp", "metrics=points", "budget.images=16", "batch_size=8",
    "evaluation.samples=50", "evaluation.times=1", "evaluation.metrics.wasserstein=null",
    "callbacks.sample_grids=null", "callbacks.progress=null", "architecture.generator.width=8",
    "architecture.discriminator.width=8",
    "+callbacks.note._target_=tests.helpers.process_callbacks.RecordSettings", "+callbacks.note.folder=${run.dir}",
    "allow_targets=[tests.helpers.process_callbacks]",
)  # fmt: skip
TRAIN = ["-m", "gan_lab.cli.main", "train"]


def start(arguments: list[str], folder: Path) -> subprocess.Popen:
    of_another_run = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT")
    environment = {
        **{key: value for key, value in os.environ.items() if key not in of_another_run},
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen, status: int = 0) -> str:
    out, _ = process.communicate(timeout=300)
    assert process.returncode == status, out
    return out


def notes(run: Path) -> list[dict]:
    return [json.loads(file.read_text()) for file in sorted(run.glob("rank_*.json"))]


def test_every_trial_of_a_search_has_the_same_settings_in_all_processes(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    search = [
        "-m", "model=dcgan", "hydra/sweeper=optuna", "hydra.sweeper.trials=2", "lr=tag(log,interval(1e-5,1e-2))",
        "betas=[0.0,0.9],[0.5,0.9]",
    ]  # fmt: skip
    ended(start([*TRAIN, *search, *TINY, "hardware=ddp_cpu", "hydra.sweep.dir=sweep"], tmp_path))
    learning_rates = []
    for trial in ("0", "1"):
        config = yaml.safe_load((tmp_path / "sweep" / trial / "config.yaml").read_text())
        expected = {"lr": [config["lr"]] * 2, "betas": config["betas"], "world": 2}
        assert notes(tmp_path / "sweep" / trial) == [expected, expected]
        learning_rates.append(config["lr"])
    assert learning_rates[0] != learning_rates[1]
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()) == ["0", "1"]
    note = yaml.safe_load((tmp_path / "sweep/search.yaml").read_text())
    assert (note["trials"], note["failed"]) == (2, 0)


@pytest.mark.slow
def test_two_machines_have_one_folder(tmp_path: Path) -> None:
    """Two commands of torchrun with a process each, which know nothing of each other but the address."""
    port = free_port()
    machines = [
        start(
            ["-m", "torch.distributed.run", "--nnodes=2", f"--node-rank={rank}", "--nproc-per-node=1",
             "--master-addr=127.0.0.1", f"--master-port={port}", *TRAIN, *TINY,
             "hardware=ddp_cpu", "hardware.devices=1", "hardware.num_nodes=2"],
            tmp_path,
        )
        for rank in range(2)
    ]  # fmt: skip
    outputs = [ended(machine) for machine in machines]
    (run,) = (tmp_path / "runs").iterdir()
    assert [note["world"] for note in notes(run)] == [2, 2]
    assert sum(text.count("Done:") for text in outputs) == 1


@pytest.mark.slow
def test_torchrun_on_one_machine(tmp_path: Path) -> None:
    """Twice at a time: four processes, two folders."""
    arguments = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *TRAIN, *TINY, "hardware=ddp_cpu"]
    pairs = [start([*arguments, f"lr={lr}"], tmp_path) for lr in ("1e-3", "1e-4")]
    for pair in pairs:
        ended(pair)
    runs = [notes(run) for run in (tmp_path / "runs").iterdir()]
    assert sorted(note["lr"][0] for run in runs for note in run) == [1e-4, 1e-4, 1e-3, 1e-3]
    assert all(len({str(note) for note in run}) == 1 and len(run) == 2 for run in runs)


@pytest.mark.slow
def test_torchrun_starts_no_sweep(tmp_path: Path) -> None:
    arguments = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *TRAIN, "-m", "seed=0,1", *TINY]
    assert "A sweep cannot be started by torchrun or srun" in ended(start(arguments, tmp_path), status=1)
    assert not list(tmp_path.rglob("rank_*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_search_with_two_trials_at_once(launcher: str, tmp_path: Path) -> None:
    """One in four of the settings is refused by its run: recorded as failed, with either launcher."""
    pytest.importorskip("optuna")
    pytest.importorskip("submitit")
    search = [
        "-m", "hydra/sweeper=optuna", "hydra.sweeper.trials=4", "hydra.sweeper.at_once=2",
        f"hydra/launcher={launcher}", "accumulate=1,3", "lr=interval(1e-4,1e-2)", "hydra.sweep.dir=sweep",
        "hardware=cpu", "hydra.sweeper.sampler=qmc",
    ]  # fmt: skip
    out = ended(start([*TRAIN, *search, *TINY], tmp_path), status=1)
    runs = sorted((tmp_path / "sweep").glob("[0-3]"))
    failed = [run.name for run in runs if read_state(run)["state"] == "failed"]
    assert f"{len(failed)} of 4 runs of this sweep failed:" in out
    for trial in range(4):
        assert (tmp_path / "sweep" / str(trial) / "results.json").is_file() == (str(trial) not in failed)
    assert yaml.safe_load((tmp_path / "sweep/search.yaml").read_text())["failed"] == len(failed) > 0


@pytest.mark.slow
def test_a_trial_that_is_killed_fails_alone(tmp_path: Path) -> None:
    """The second process of the first trial ends in the middle: Lightning then kills the first."""
    killer = [
        "+callbacks.killer._target_=tests.helpers.process_callbacks.KillSecondProcess",
        "+callbacks.killer.seed=${seed}",
    ]
    arguments = [*TRAIN, "-m", "seed=0,1", *TINY, *killer, "hardware=ddp_cpu", "hydra.sweep.dir=sweep"]
    out = ended(start(arguments, tmp_path), status=1)
    assert "1 of 2 runs of this sweep failed:\n  sweep/0: " in out
    assert (tmp_path / "sweep/1/results.json").is_file()
