"""Resuming a run with the same command: what it restores, what it rejects, and the logs afterwards."""

import json
import multiprocessing
import os
import re
import signal
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan_lab.callbacks import preemption
from gan_lab.config import resolvers
from gan_lab.config.compose import compose
from gan_lab.errors import ConfigError
from gan_lab.training.fit import fit
from gan_lab.training.resuming import lock_run_folder
from tests.conftest import TINY
from tests.helpers.interrupted_runs import SignalAt, differences, settings, train_uninterrupted

ONE = (*(override for override in TINY if "checkpoints" not in override), "dataset.resolution=8", "run.name=one")


def test_the_same_command_resumes_and_a_finished_run_is_not_trained(command: Callable, tmp_path: Path) -> None:
    assert command("train", *ONE, "budget.images=32", "time_limit=0.001").status == 75
    assert json.loads((tmp_path / "runs/one/state.json").read_text())["reason"] == "time_limit"
    done = command("train", *ONE, "budget.images=32")
    assert done.status == 0 and json.loads((tmp_path / "runs/one/state.json").read_text())["state"] == "finished"
    last = tmp_path / "runs/one/checkpoints/last.ckpt"
    before = last.stat().st_mtime_ns
    again = command("train", "resume=runs/one")
    assert again.status == 0 and "runs/one is finished, with 32 images seen." in again.err
    assert last.stat().st_mtime_ns == before
    longer = command("train", "resume=runs/one", "budget.images=64", "hardware.num_workers=0", "logger=[csv]")
    assert longer.status == 0 and "Resuming from runs/one/checkpoints/images_0000000032.ckpt" in longer.err
    recorded = (tmp_path / "runs/one/.hydra/overrides.yaml").read_text()
    assert "budget.images=64" in recorded and "budget.images=32" not in recorded and "run.name=one" in recorded
    refused = command("train", "resume=runs/one", "budget.images=96", "lr=0.01")
    assert refused.status == 2 and "was trained with lr=0.0002 (now 0.01): restore them" in refused.err
    branch = command("train", "resume=runs/one", "budget.images=96", "lr=0.01", "run.name=two")
    assert branch.status == 2 and "add allow_changes=true to continue in runs/two" in branch.err
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["one"]
    accepted = command("train", "resume=runs/one", "budget.images=96", "lr=0.01", "allow_changes=true")
    assert accepted.status == 0 and "Resuming with changed settings: lr=0.0002" in accepted.err
    assert yaml.safe_load((tmp_path / "runs/one/.hydra/hydra.yaml").read_text())["hydra"]["runtime"]["choices"]
    alone = command("train", "resume=runs/one")
    assert alone.status == 0 and "is finished, with 96 images seen. Nothing was trained" in alone.err


@pytest.mark.parametrize(
    ("wrong", "message", "images"),
    [
        ("evaluation.best=eval/nothing metrics=[ms_ssim]", "evaluation.best=eval/nothing is not measured", 32),
        ("metrics=[pr] extractor=digits evaluation.samples=2", "needs at least 4 generated images, but has 2", 32),
        (
            "callbacks.checkpoints.best=train/nothing callbacks.train_log.every_batches=1",
            "callbacks.checkpoints.best=train/nothing is not logged",
            40,
        ),
    ],
)
def test_settings_that_end_a_resumed_run_are_not_repeated(
    wrong: str, message: str, images: int, command: Callable, tmp_path: Path
) -> None:
    run = tmp_path / "runs/one"
    assert command("train", *ONE, "budget.images=32").status == 0
    records = [run / "config.yaml", *sorted((run / ".hydra").glob("*.yaml"))]
    before, state = [file.read_bytes() for file in records], json.loads((run / "state.json").read_text())

    outcome = command("train", "resume=runs/one", "budget.images=64", *wrong.split())
    assert outcome.status == 2 and message in outcome.err and "Traceback" not in outcome.err
    assert [file.read_bytes() for file in records] == before
    after = json.loads((run / "state.json").read_text())
    assert after["images_seen"] == images
    if images == 32:
        assert message in after.pop("refused") and after == state
    longer = command("train", "resume=runs/one", "budget.images=64")
    assert longer.status == 0 and "64 of 64 images seen" in longer.err


def test_changed_settings_reach_the_optimizers(tmp_path: Path, caplog) -> None:
    overrides = (*ONE, f"run.dir={tmp_path}")
    fit(compose(*overrides, "budget.images=16"))
    experiment = fit(compose(*overrides, "budget.images=32", "lr=0.01", "betas=[0.1,0.9]", "allow_changes=true"))
    groups = [optimizer.param_groups[0] for optimizer in experiment.trainer.optimizers]
    assert [(group["lr"], list(group["betas"])) for group in groups] == [(0.01, [0.1, 0.9])] * 2
    assert "lr=0.0002 (now 0.01)" in caplog.text and "optimizer" not in caplog.text


def test_settings_computed_from_the_budget_are_named(tmp_path: Path) -> None:
    overrides = (*ONE, f"run.dir={tmp_path}", "schedule=linear_decay")
    fit(compose(*overrides, "budget.images=16"))
    with pytest.raises(ConfigError, match=r"schedule\.lr\.end_images=16 \(now 32\)"):
        fit(compose(*overrides, "budget.images=32"))


def test_generated_folder_names_are_unique(tmp_path: Path) -> None:
    """Three processes with the same time and random letters; each gets the same folder on its second call."""
    program = (
        "import os, sys, time; from gan_lab.config.resolvers import run_folder, run_id; "
        "time.strftime, os.urandom = lambda _: 'now', bytes; "
        "path = f'{sys.argv[1]}/digits-{run_id()}'; print(run_folder(path), run_folder(path))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    arguments = [sys.executable, "-c", program, str(tmp_path)]
    processes = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(3)]
    folders = [process.communicate()[0].split() for process in processes]
    assert all(first == second for first, second in folders)
    assert sorted(Path(folder).name for folder, _ in folders) == [f"digits-now-000000{end}" for end in ("", "-2", "-3")]
    assert resolvers.run_folder(f"{tmp_path}/typed") == f"{tmp_path}/typed" and not (tmp_path / "typed").exists()


def test_a_run_folder_in_use_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_lab.training.resuming.WAIT_SECONDS", 0.1)
    hold = (
        "import sys, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); "
        "print('held', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout.readline() == b"held\n"
    with (
        pytest.raises(
            ConfigError, match=r"is in use by another run: wait until it has ended, or give another run.name"
        ),
        lock_run_folder(tmp_path),
    ):
        pass
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    with lock_run_folder(tmp_path):
        pass


def test_a_requeued_slurm_step_has_the_same_run_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_STEP_ID", "2")
    assert resolvers.run_id() == resolvers.run_id() == "slurm-4711-2"


@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGUSR1, ["requeue", "4711"]), (signal.SIGTERM, None), (signal.SIGHUP, None)]
)
def test_slurm_job_is_requeued(number: int, expected: list[str] | None, tmp_path: Path, monkeypatch) -> None:
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/arguments\n')
    scontrol.chmod(scontrol.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(scontrol.parent), prepend=os.pathsep)
    for name, value in {"JOB_ID": "4711", "JOB_NAME": "gan", "NTASKS": "1", "PROCID": "0", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setattr("tests.helpers.interrupted_runs.signal.SIGTERM", number)
    module = fit(settings("gan", "cpu", tmp_path / "run", workers=0, stop=24)).module
    assert module.interrupted == signal.Signals(number).name and module.images_seen == 24
    found = (tmp_path / "arguments").read_text().split() if (tmp_path / "arguments").exists() else None
    assert found == expected
    assert not list(tmp_path.rglob("hpc_ckpt*"))  # the file of Lightning's own requeue


@pytest.mark.parametrize("reason", ["SIGUSR1", "SIGUSR2", "time_limit"])
def test_a_job_of_submitit_is_requeued_by_submitit_alone(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fail to requeue a job that is already requeued, and take the run for failed."""
    called: list[int] = []
    monkeypatch.setattr("gan_lab.callbacks.preemption.requeue", lambda: pytest.fail("requeued twice"))
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    before = signal.signal(signal.SIGUSR2, lambda number, _: called.append(number))
    try:
        with preemption.StopSignals() as signals:
            callback = preemption.Preemption()
            callback.signals = signals
            callback.after_training(reason)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert called == [signal.SIGUSR2]


def test_the_earlier_signal_handler_is_called_after_the_checkpoint(tmp_path: Path) -> None:
    called = []
    before = signal.signal(signal.SIGTERM, lambda *_: called.append((tmp_path / "run/checkpoints/last.ckpt").is_file()))
    try:
        fit(settings("gan", "cpu", tmp_path / "run", workers=0, stop=24))
        assert called == [True] and signal.getsignal(signal.SIGTERM) is not before
    finally:
        signal.signal(signal.SIGTERM, before)


def test_tensorboard_has_no_duplicate_points(tmp_path: Path) -> None:
    overrides = (
        *ONE,
        f"run.dir={tmp_path}",
        "logger=[tensorboard]",
        "callbacks.train_log.every_batches=1",
        "budget.images=48",
    )
    fit(compose(*overrides, "callbacks.checkpoints.every_images=24"))
    (tmp_path / "checkpoints" / "images_0000000048.ckpt").unlink()
    (tmp_path / "checkpoints" / "last.ckpt").unlink()
    assert fit(compose(*overrides)).module.images_seen == 48  # resumed from 24
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    steps = [event.step for event in events.Scalars("train/generator/adversarial")]
    assert len(list((tmp_path / "tensorboard").glob("events*"))) == 2 and steps == [8, 16, 24, 32, 40, 48]


@pytest.mark.parametrize(
    ("text", "seconds"), [("11:50:00", 42600), ("1-00:00:01", 86401), ("90", 90), ("0:00:30.5", 30.5)]
)
def test_time_limits(text: str, seconds: float) -> None:
    assert preemption.parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["soon", "0", "1:90:00", "-5"])
def test_invalid_time_limits(text: str) -> None:
    with pytest.raises(ConfigError, match="is not allowed: it must be hh:mm:ss, d-hh:mm:ss or seconds"):
        preemption.parse_seconds(text)


def test_a_run_stops_before_its_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 2 s and once 5 s, a limit of 20 s: after 15 s another batch of 5 s might exceed it."""
    times = iter([0.0, 2.0, 7.0, 9.0, 11.0, 13.0, 15.0])
    now = [0.0]
    monkeypatch.setattr(preemption, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(preemption, "STARTED", 0.0)
    stop, module, trainer = (
        preemption.Preemption("20"),
        SimpleNamespace(interrupted=None),
        SimpleNamespace(should_stop=False),
    )
    next(times), stop.on_train_start(trainer, module)
    for now[0] in times:
        assert not trainer.should_stop
        stop.on_train_batch_end(trainer, module)
    assert module.interrupted == "time_limit" and trainer.should_stop


def test_a_run_that_stops_before_its_first_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No message names a file that is not there."""
    cfg = settings("gan", "cpu", tmp_path / "run", workers=0, stop=8)
    cfg.callbacks.checkpoints = None
    with caplog.at_level("INFO"):
        assert fit(cfg).module.interrupted
    assert "stopped after 8 images, and" in caplog.text and "has no checkpoint yet: the same command" in caplog.text


def test_the_end_names_only_files_that_are_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cfg = settings("gan", "cpu", tmp_path / "run", workers=0)
    cfg.callbacks.checkpoints = None  # and the settings of these tests have no grids
    with caplog.at_level("INFO"):
        fit(cfg)
    last = caplog.text.rstrip().rpartition("\n")[2]
    assert "Done: " in last and "final.png" not in last and "last.ckpt" not in last and "gan-lab sample" not in last
    named = re.search(r" has (.*?)\.( Next|$)", last)
    files = re.split(", | and ", named[1]) if named else []
    assert all((tmp_path / "run" / name).is_file() for name in files)


def test_a_run_without_a_record_is_resumed_by_its_config(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """`resume=` would be refused, as the config was not made by `gan_lab.compose`."""
    cfg = OmegaConf.create(OmegaConf.to_container(settings("gan", "cpu", tmp_path / "run", workers=0, stop=24)))
    with caplog.at_level("INFO"):
        fit(cfg)
    assert caplog.text.rstrip().endswith("run/checkpoints/last.ckpt. To resume: gan_lab.fit with the same config")


def test_data_workers_ignore_signals_to_the_job(tmp_path: Path) -> None:
    """A scheduler sends signals to the training process and to its data workers."""
    train_uninterrupted(tmp_path / "reference", "gan", "cpu")
    cfg = settings("gan", "cpu", tmp_path / "resumed", workers=2, stop=24)
    cfg.callbacks.stop._target_ = "tests.training.test_resuming.SignalToAll"
    assert fit(cfg).module.images_seen == 24
    experiment = fit(settings("gan", "cpu", tmp_path / "resumed", workers=2))
    torch.save(dict(experiment.module.named_parameters()), tmp_path / "resumed" / "rank_0.pt")
    assert differences(tmp_path / "reference", tmp_path / "resumed") == []


class SignalToAll(SignalAt):
    def on_train_batch_start(self, trainer, module, *_: object) -> None:
        if module.images_seen + 8 == self.images:
            children = multiprocessing.active_children()
            assert len(children) == 2
            for process in (*(child.pid for child in children), os.getpid()):
                os.kill(process, signal.SIGTERM)


def test_a_checkpoint_is_read_once(command: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.load` and the check of the zip archive each read the file once."""
    assert command("train", *ONE, "budget.images=16").status == 0
    read: list[str] = []
    monkeypatch.setattr(
        torch,
        "load",
        lambda file, *args, load=torch.load, **kwargs: read.append(str(file)) or load(file, *args, **kwargs),
    )
    checked: list[str] = []
    testzip = zipfile.ZipFile.testzip
    monkeypatch.setattr(zipfile.ZipFile, "testzip", lambda self: checked.append(str(self.filename)) or testzip(self))
    assert command("train", *ONE, "budget.images=32").status == 0
    newest = "runs/one/checkpoints/images_0000000016.ckpt"
    assert [Path(file) for file in read] == [Path(file) for file in checked] == [(tmp_path / newest)]
