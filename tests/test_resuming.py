"""The same command goes on with its run: what it takes up, what it refuses, and what the logs have then."""

import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan_lab.callbacks import preemption
from gan_lab.config import schema
from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from gan_lab.config.resuming import alone_in
from gan_lab.errors import ConfigError
from gan_lab.processes import is_first_process
from tests.conftest import TINY
from tests.exact_resume import SignalAt, differences, settings, train_whole

ONE = (*(word for word in TINY if "checkpoints" not in word), "dataset.resolution=8", "run.name=one")


def test_the_same_command_goes_on_and_a_finished_run_is_left_alone(command: Callable, tmp_path: Path) -> None:
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
    assert longer.status == 0 and "It goes on from runs/one/checkpoints/images_0000000032.ckpt" in longer.err
    assert (tmp_path / "runs/one/.hydra/overrides.yaml").read_text().count("budget.images=32") == 1
    refused = command("train", "resume=runs/one", "budget.images=96", "lr=0.01")
    assert refused.status == 2 and "was trained with lr=0.0002 (now 0.01): give the settings that it had" in refused.err
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["one"]


def test_settings_that_are_allowed_to_change_reach_the_optimizers(tmp_path: Path, caplog) -> None:
    words = (*ONE, f"run.dir={tmp_path}")
    fit(compose(*words, "budget.images=16"))
    experiment = fit(compose(*words, "budget.images=32", "lr=0.01", "betas=[0.1,0.9]", "allow_changes=true"))
    groups = [optimizer.param_groups[0] for optimizer in experiment.trainer.optimizers]
    assert [(group["lr"], list(group["betas"])) for group in groups] == [(0.01, [0.1, 0.9])] * 2
    assert "lr=0.0002 (now 0.01)" in caplog.text and "optimizer" not in caplog.text


def test_a_budget_that_something_follows_is_named(tmp_path: Path) -> None:
    words = (*ONE, f"run.dir={tmp_path}", "schedule=linear_decay")
    fit(compose(*words, "budget.images=16"))
    with pytest.raises(ConfigError, match=r"schedule\.lr\.end_images=16 \(now 32\)"):
        fit(compose(*words, "budget.images=32"))


def test_folders_with_made_up_names_are_never_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema.time, "strftime", lambda _: "now")
    monkeypatch.setattr(schema.os, "urandom", bytes)
    made = []
    for _ in range(3):  # as three processes that draw the same letters at the same time
        monkeypatch.setattr(schema, "_claimed", {})
        made.append(schema.run_folder(f"{tmp_path}/digits-{schema.run_id()}"))
    assert [Path(folder).name for folder in made] == [f"digits-now-000000{end}" for end in ("", "-2", "-3")]
    assert schema.run_folder(f"{tmp_path}/typed") == f"{tmp_path}/typed" and not (tmp_path / "typed").exists()


def test_a_folder_in_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_lab.config.resuming.WAIT_SECONDS", 0.1)
    hold = "import sys, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout.readline() == b"held\n"
    with (
        pytest.raises(
            ConfigError, match=r"is in use by another run: wait until it has ended, or give another run.name"
        ),
        alone_in(tmp_path),
    ):
        pass
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    with alone_in(tmp_path):
        pass


def test_a_requeued_step_of_slurm_has_its_name_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_STEP_ID", "2")
    assert schema.run_id() == schema.run_id() == "slurm-4711-2"


@pytest.mark.parametrize(("number", "asked"), [(signal.SIGUSR1, ["requeue", "4711"]), (signal.SIGTERM, None)])
def test_slurm_is_asked_for_more_time(number: int, asked: list[str] | None, tmp_path: Path, monkeypatch) -> None:
    tool = tmp_path / "bin" / "scontrol"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    tool.chmod(tool.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
    for name, value in {"JOB_ID": "4711", "JOB_NAME": "gan", "NTASKS": "1", "PROCID": "0", "LOCALID": "0"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setattr("tests.exact_resume.signal.SIGTERM", number)
    module = fit(settings("gan", "cpu", tmp_path / "run", workers=0, stop=24)).module
    assert module.interrupted == signal.Signals(number).name and module.images_seen == 24
    found = (tmp_path / "asked").read_text().split() if (tmp_path / "asked").exists() else None
    assert found == asked
    assert not list(tmp_path.rglob("hpc_ckpt*"))  # Lightning's own way


def test_a_handler_that_was_there_is_told_afterwards(tmp_path: Path) -> None:
    told = []
    before = signal.signal(signal.SIGTERM, lambda *_: told.append((tmp_path / "run/checkpoints/last.ckpt").is_file()))
    try:
        fit(settings("gan", "cpu", tmp_path / "run", workers=0, stop=24))
        assert told == [True] and signal.getsignal(signal.SIGTERM) is not before
    finally:
        signal.signal(signal.SIGTERM, before)


def test_tensorboard_shows_every_point_once(tmp_path: Path) -> None:
    words = (
        *ONE,
        f"run.dir={tmp_path}",
        "logger=[tensorboard]",
        "callbacks.train_log.every_batches=1",
        "budget.images=48",
    )
    fit(compose(*words, "callbacks.checkpoints.every_images=24"))
    (tmp_path / "checkpoints" / "images_0000000048.ckpt").unlink()
    (tmp_path / "checkpoints" / "last.ckpt").unlink()
    assert fit(compose(*words)).module.images_seen == 48  # from 24 on
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    steps = [event.step for event in events.Scalars("train/generator/adversarial")]
    assert len(list((tmp_path / "tensorboard").glob("events*"))) == 2 and steps == [8, 16, 24, 32, 40, 48]


@pytest.mark.parametrize(
    ("text", "seconds"), [("11:50:00", 42600), ("1-00:00:01", 86401), ("90", 90), ("0:00:30.5", 30.5)]
)
def test_time_limits(text: str, seconds: float) -> None:
    assert preemption.seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["soon", "0", "1:90:00", "-5"])
def test_time_limits_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="is not allowed: it must be hh:mm:ss, d-hh:mm:ss or seconds"):
        preemption.seconds_of(text)


def test_it_stops_before_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 2 s and once 5 s, a limit of 20 s: after 15 s another of 5 s might not end in time."""
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


def test_workers_outlive_signals_to_the_whole_job(tmp_path: Path) -> None:
    """As a scheduler sends them: to the training process and to those that decode its images."""
    train_whole(tmp_path / "whole", "gan", "cpu")
    cfg = settings("gan", "cpu", tmp_path / "parts", workers=2, stop=24)
    cfg.callbacks.stop._target_ = "tests.test_resuming.SignalToAll"
    assert fit(cfg).module.images_seen == 24
    experiment = fit(settings("gan", "cpu", tmp_path / "parts", workers=2))
    torch.save(dict(experiment.module.named_parameters()), tmp_path / "parts" / "rank_0.pt")
    assert differences(tmp_path / "whole", tmp_path / "parts") == []


class SignalToAll(SignalAt):
    def on_train_batch_start(self, trainer, module, *_: object) -> None:
        if module.images_seen + 8 == self.images:
            children = multiprocessing.active_children()
            assert len(children) == 2
            for process in (*(child.pid for child in children), os.getpid()):
                os.kill(process, signal.SIGTERM)


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"RANK": "0", "LOCAL_RANK": "0", "SLURM_PROCID": "3"}, True),  # torchrun in a task of SLURM
        ({"RANK": "4", "LOCAL_RANK": "0"}, False),
        ({"SLURM_PROCID": "0"}, True),
        ({"SLURM_PROCID": "1"}, False),  # plain SLURM has no LOCAL_RANK
        ({"LOCAL_RANK": "1", "SLURM_PROCID": "0"}, False),  # Lightning's own processes in an interactive job
        ({"NODE_RANK": "1"}, False),
    ],
)
def test_one_process_writes(environment: dict[str, str], first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() is first
