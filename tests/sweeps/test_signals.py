"""Sweeps that are stopped, or lose a worker, and are resumed with the same command."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from gan_lab.errors import ConfigError
from gan_lab.runs.state import note_failure
from gan_lab.sweeps import signals
from gan_lab.sweeps.launcher import WatchedLauncher, WorkersLost, check_settings
from tests.cli.test_trials import RING

SWEEP = ("train", "-m", *(override for override in RING if "checkpoints" not in override), "hydra.sweep.dir=sweep")


def signal_overrides(number: int, wanted: int = 0, parent: bool = False) -> tuple[str, ...]:
    """Overrides by which the run with a number sends a signal."""
    key = "+callbacks.signal_at_start"
    return (
        f"{key}._target_=tests.helpers.process_callbacks.SignalAfterTwoBatches", f"{key}.seed=${{hydra:job.num}}",
        f"{key}.wanted={wanted}", f"{key}.number={number}", f"{key}.parent={parent}",
        "allow_targets=[tests.helpers.process_callbacks]",
    )  # fmt: skip


def states(folder: Path) -> dict[str, str]:
    return {file.parent.name: json.loads(file.read_text())["state"] for file in folder.glob("*/state.json")}


def times(folder: Path) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for file in folder.glob("*/checkpoints/last.ckpt")}


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGINT, None])
def test_the_same_command_resumes(number: int | None, command, tmp_path: Path) -> None:
    """The second of three runs is stopped, by a signal or by its time limit: it is resumed, and the third starts."""
    by = ("time_limit=0.001",) if number is None else signal_overrides(number, wanted=1)
    stopped = command(*SWEEP, "seed=0,1,2", *by)
    assert stopped.status == 75, stopped.err
    assert "Traceback" not in stopped.err
    assert "To resume: the same command with hydra.sweep.dir=sweep" in stopped.err
    sender = "One of its runs" if number is None else signal.Signals(number).name
    done = 0 if number is None else 1
    assert f"{sender} stopped this sweep; {done} of its runs are finished." in stopped.err
    before = times(tmp_path / "sweep")
    assert states(tmp_path / "sweep") == ({"0": "stopped"} if number is None else {"0": "finished", "1": "stopped"})
    resumed = command(*SWEEP, "seed=0,1,2")
    assert resumed.status == 0, resumed.err
    assert states(tmp_path / "sweep") == dict.fromkeys("012", "finished")
    after = times(tmp_path / "sweep")
    assert [path for path in before if before[path] == after[path]] == (
        [] if number is None else [f"{tmp_path}/sweep/0/checkpoints/last.ckpt"]
    )
    assert ("Resuming from sweep/1/checkpoints/" in resumed.err) == (
        number is not None
    )  # the limit came before any batch
    page = (tmp_path / "sweep/sweep.html").read_text()
    assert "3 runs in" in page and "0 left out" in page and all(f"seed {seed}" in page for seed in range(3))


def test_another_list_is_refused_before_any_run(command, tmp_path: Path) -> None:
    assert command(*SWEEP, "seed=0,1").status == 0
    before = {file: file.read_bytes() for file in (tmp_path / "sweep").glob("*/**/*.*") if file.is_file()}
    refused = command(*SWEEP, "seed=0,2,1")
    assert refused.status == 2
    assert "hydra.sweep.dir=sweep holds a run 1 with seed=1 (now 2): give the settings and lists" in refused.err
    assert not (tmp_path / "sweep/2").exists()
    assert {file: file.read_bytes() for file in before} == before
    longer = command(*SWEEP, "seed=0,1,2", "time_limit=1:00:00")
    assert longer.status == 0 and states(tmp_path / "sweep") == dict.fromkeys("012", "finished")
    assert command(*SWEEP, "seed=0,1,2", "lr=0.01").status == 2
    assert command(*SWEEP, "seed=0,1,2", "budget.images=64").status == 0
    notes = yaml.safe_load((tmp_path / "sweep/1/.hydra/overrides.yaml").read_text())
    assert "budget.images=64" in notes and "budget.images=32" not in notes, "the accepted command is recorded"


@pytest.mark.parametrize(
    ("before", "now", "fits"),
    [
        ("lr=0.1", "lr=0.1", True),
        ("lr=0.1", "lr=0.2", False),
        ("lr=0.1", "", False),
        ("", "lr=0.1", False),
        ("lr=0.1", "lr=0.2 allow_changes=true", True),
        ("lr=0.1 seed=0", "lr=0.1 seed=1 allow_changes=true", False),
        ("lr=0.1 loss=hinge", "lr=0.1 loss=wgan allow_changes=true", False),
        ("lr=0.1 dataset.flip=true", "lr=0.1 dataset.flip=false allow_changes=true", False),
        ("dataset.source=a", "dataset.source=b hardware.devices=2", True),
        ("", "logger=[csv,wandb] time_limit=5 metrics=points evaluation.samples=10", True),
    ],
)
def test_settings_of_a_number(before: str, now: str, fits: bool, tmp_path: Path) -> None:
    (tmp_path / "4/.hydra").mkdir(parents=True)
    (tmp_path / "4/.hydra/overrides.yaml").write_text(yaml.safe_dump(before.split()))
    check_settings(tmp_path, [now.split()], 4)  # nothing was trained there
    (tmp_path / "4/config.yaml").write_text("{}")
    check_settings(tmp_path, [now.split()], 3)
    if fits:
        check_settings(tmp_path, [now.split()], 4)
    else:
        with pytest.raises(ConfigError, match=r"holds a run 4 with "):
            check_settings(tmp_path, [now.split()], 4)


def test_a_finished_run_stays_finished(tmp_path: Path) -> None:
    """Also if resuming it was refused, which the sweep reports at its end."""
    (tmp_path / "state.json").write_text('{"state": "finished", "reason": null}')
    note_failure(tmp_path, "other settings")
    note = json.loads((tmp_path / "state.json").read_text())
    assert note == {"state": "finished", "reason": None, "refused": "other settings"}


def test_a_search_is_stopped_and_resumed(command, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    overrides = (
        "hydra/sweeper=optuna",
        "hydra.sweeper.storage=sweep/kept",
        "lr=interval(1e-4,1e-3)",
        "hydra.sweeper.trials=2",
    )
    stopped = command(*SWEEP, *overrides, *signal_overrides(signal.SIGTERM))
    assert stopped.status == 75 and "SIGTERM stopped this sweep; 0 of its runs are finished." in stopped.err
    lr = yaml.safe_load((tmp_path / "sweep/0/config.yaml").read_text())["lr"]
    resumed = command(*SWEEP, *overrides)
    assert resumed.status == 0, resumed.err
    assert states(tmp_path / "sweep") == {"0": "finished", "1": "finished"}
    assert yaml.safe_load((tmp_path / "sweep/0/config.yaml").read_text())["lr"] == lr
    assert yaml.safe_load((tmp_path / "sweep/search.yaml").read_text())["failed"] == 0


def test_a_signal_between_two_runs() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with signals.stoppable():
        assert not signals.is_stopping()
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.is_stopping() and signals.first_signal() == "SIGTERM"
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == before


WORKERS = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def test_a_launcher_that_loses_a_worker(tmp_path: Path) -> None:
    """The message names the runs whose processes have exited, and those that may still be running."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()

    class Loses:
        def launch(self, overrides, initial_job_idx):
            for number, process in enumerate([gone.pid, os.getpid()]):
                (tmp_path / str(number) / ".hydra").mkdir(parents=True)
                note = {"state": "running", "host": socket.gethostname(), "process": process}
                (tmp_path / str(number) / "state.json").write_text(json.dumps(note))
            raise TerminatedWorkerError("A worker process ...\nunexpectedly")

    choices = {"runtime": {"choices": {"hydra/launcher": "joblib"}}, "sweep": {"dir": str(tmp_path)}}
    launcher = WatchedLauncher(Loses(), OmegaConf.create({"hydra": choices}))  # type: ignore[arg-type]
    with pytest.raises(
        WorkersLost, match=rf"with it {tmp_path}/0 \({tmp_path}/1 may still be training\)\. To resume: "
    ):
        launcher.launch([["seed=0"], ["seed=1"]], initial_job_idx=0)
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.slow
def test_a_worker_that_is_killed(command, tmp_path: Path) -> None:
    lost = command(*SWEEP, *WORKERS, "seed=0,1", *signal_overrides(signal.SIGKILL))
    assert lost.status == 1
    (line,) = [line for line in lost.err.splitlines() if line.startswith("gan-lab train:")]
    assert "A worker of hydra/launcher=joblib was killed, for example for lack of memory" in line and "sweep/0" in line
    assert line.endswith("To resume: the same command with hydra.sweep.dir=sweep")
    assert "Traceback" not in lost.err
    assert command(*SWEEP, "seed=0,1").status == 0
    assert states(tmp_path / "sweep") == {"0": "finished", "1": "finished"}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("search", [(), ("hydra/sweeper=optuna", "hydra.sweeper.trials=3", "hydra.sweeper.at_once=3")])
def test_a_signal_to_the_command_reaches_its_workers(number: int, search: tuple[str, ...], tmp_path: Path) -> None:
    """Run 0 signals the command, which signals both training runs; the third never starts."""
    arguments = [
        *SWEEP,
        *WORKERS,
        *search,
        "budget.images=50000000",
        "seed=0,1,2",
        *signal_overrides(number, parent=True),
    ]
    outcome = subprocess.run(
        [sys.executable, "-m", "gan_lab.cli.main", *arguments], cwd=tmp_path, capture_output=True, text=True,
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, sys.path))},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background command ignores it
    )  # fmt: skip
    assert outcome.returncode == 75, outcome.stderr
    assert f"{signal.Signals(number).name} stopped this sweep; 0 of its runs are finished." in outcome.stderr
    assert "Traceback" not in outcome.stderr
    found = states(tmp_path / "sweep")
    assert set(found.values()) == {"stopped"} and 1 <= len(found) <= 2
    for run in found:
        assert (tmp_path / "sweep" / run / "checkpoints/last.ckpt").is_file()
