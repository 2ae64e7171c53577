"""The loop over batches does what Lightning's own loop does."""

import csv
from functools import wraps
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import DoublePrecision, MixedPrecision

from gan_lab.batch_loop import BatchLoop
from gan_lab.config.build import Experiment, build
from gan_lab.hooks import DirectMixedPrecision, use_direct_precision

HOOKS = (
    "on_train_epoch_start", "on_train_batch_start", "on_before_backward", "on_after_backward",
    "on_before_optimizer_step", "on_train_batch_end", "on_train_epoch_end",
)  # fmt: skip


class Witness(Callback):
    """Note every hook with Lightning's counters."""

    def __init__(self) -> None:
        self.seen = []
        for hook in HOOKS:
            setattr(self, hook, lambda trainer, module, *args, hook=hook: self._note(hook, trainer))

    def _note(self, hook, trainer) -> None:
        loop = trainer.fit_loop.epoch_loop
        self.seen.append((hook, trainer.global_step, loop.batch_idx, loop.batch_progress.state_dict()))


class Logs(Callback):
    """Log a value by Lightning's `self.log`."""

    def on_train_batch_end(self, trainer, module, *_) -> None:
        module.log("seen", float(module.images_seen))


def build_with(cfg, own: bool, monkeypatch) -> Experiment:
    if own:
        return build(cfg)
    with monkeypatch.context() as patch:
        patch.setattr("gan_lab.config.build.use_batch_loop", lambda trainer: None)
        return build(cfg)


def trained(cfg, own: bool, monkeypatch, *callbacks) -> tuple:
    experiment = build_with(cfg, own, monkeypatch)
    trainer = experiment.trainer
    assert isinstance(trainer.fit_loop.epoch_loop, BatchLoop) == own
    trainer.callbacks = [*callbacks, *trainer.callbacks]
    trainer.fit(experiment.module, datamodule=experiment.data)
    file = Path(cfg.run.dir) / ("own.ckpt" if own else "lightning.ckpt")
    trainer.save_checkpoint(file)
    return trainer, torch.load(file, weights_only=False)


def loops(checkpoint: dict) -> dict:
    """The counters in a checkpoint, but for the step of logs: images here, batches in Lightning's own loop."""
    counters = checkpoint["loops"]
    counters["fit_loop"]["epoch_loop.state_dict"].pop("_batches_that_stepped")
    return counters


RING = (
    "dataset=ring",
    "architecture=mlp",
    "model=gan",
    "dataset.batches_per_epoch=3",
    "budget.images=64",
    "metrics=[]",
)


def test_hooks_counters_and_checkpoints_are_those_of_lightning(tiny, monkeypatch):
    witnesses = Witness(), Witness()
    (_, own), (_, other) = (
        trained(tiny(*RING), own, monkeypatch, each) for own, each in zip((True, False), witnesses, strict=True)
    )
    assert witnesses[0].seen == witnesses[1].seen
    assert len(witnesses[0].seen) == 8 * 8 + 3 * 2
    assert loops(own) == loops(other) and own["global_step"] == other["global_step"] == 8
    for name, value in own["state_dict"].items():
        assert torch.equal(value, other["state_dict"][name]) if isinstance(value, torch.Tensor) else value


def test_values_of_self_log_are_logged(tiny, monkeypatch):
    own, other = (trained(tiny(*RING), own, monkeypatch, Logs())[0].logged_metrics for own in (True, False))
    assert own == other == {"seen": torch.tensor(64.0)}


@pytest.mark.parametrize("world", [1, 2])
def test_the_step_of_what_lightning_logs_is_images(world: int, tiny, monkeypatch):
    """As of all other rows, and every `trainer.log_every_n_steps` batches; so also in Lightning's own loop."""
    if world == 2:  # which runs then: as with several processes
        monkeypatch.setattr(BatchLoop, "on_run_start", lambda loop, data: _start_of_lightning(loop, data))
    batches = (
        "batch_size=16",
        "budget.images=96",
        "trainer.log_every_n_steps=2",
        "callbacks.train_log.every_batches=2",
    )
    cfg = tiny(*RING, *batches, "logger=[csv]")
    trained(cfg, True, monkeypatch, Logs(), LearningRateMonitor())
    rows = list(csv.DictReader(Path(cfg.run.dir, "metrics.csv").read_text().splitlines()))
    seen = {row["step"]: row["seen"] for row in rows if row["seen"]}
    assert seen == {"32": "32.0", "64": "64.0", "96": "96.0"}
    column = next(key for key in rows[0] if key.startswith("lr-"))
    assert {row["step"] for row in rows if row[column]} == {"0", "16", "48", "80"}  # before a batch, and of each epoch


def _start_of_lightning(loop: BatchLoop, data: object) -> None:
    _TrainingEpochLoop.on_run_start(loop, data)
    loop._is_plain = False


def test_a_hook_can_end_an_epoch(tiny, monkeypatch):
    class Second(Callback):
        def on_train_batch_start(self, trainer, module, batch, number) -> None:
            module.on_train_batch_start = lambda batch, number: -1 if number == 1 else None

    own, other = (trained(tiny(*RING), own, monkeypatch, Second()) for own in (True, False))
    assert own[0].current_epoch == other[0].current_epoch == 8
    assert loops(own[1]) == loops(other[1])


class Clips(Callback):
    """Define one hook of an update."""

    def __init__(self) -> None:
        self.count = 0

    def on_after_backward(self, trainer, module) -> None:
        self.count += 1
        module.log("of_the_hook", 2.0)


def test_a_hook_of_an_update_is_called_where_it_is_defined_and_may_log(tiny, monkeypatch):
    clips = Clips()
    calls = []
    monkeypatch.setattr(Callback, "on_before_backward", lambda *_: calls.append("before"))
    trainer, _ = trained(tiny(*RING, "batch_size=16"), True, monkeypatch, clips)
    assert clips.count == 8 and not calls  # two updates for each batch; the empty hook of the base class is not called
    assert trainer.logged_metrics == {"of_the_hook": 2.0}


class Changes(Callback):
    """Hooks that are set and removed, and callbacks that come and go, in an epoch."""

    def __init__(self) -> None:
        self.seen = []
        self.on_train_batch_end = Mock(wraps=lambda *_: self.seen.append("mock"))

    def on_train_start(self, trainer, module) -> None:
        module.manual_backward(module.generator(torch.zeros(2, module.latent.dim)).sum())

    def on_train_batch_start(self, trainer, module, batch, number) -> None:
        if number == 1:
            module.on_after_backward = lambda: self.seen.append("module")
            self.on_before_backward = wraps(Callback.on_before_backward)(lambda *_: self.seen.append("wrapped"))
            trainer.callbacks.append(self.other(trainer))
        if number == 2:
            self.on_before_backward = None
            del module.on_after_backward

    def other(self, trainer) -> Callback:
        changes = self

        class Leaves(Callback):
            def on_train_batch_end(self, *_) -> None:
                changes.seen.append("leaves")
                trainer.callbacks.remove(self)

        return Leaves()


def test_hooks_may_change_at_any_time(tiny, monkeypatch):
    own, other = Changes(), Changes()
    trained(tiny(*RING), True, monkeypatch, own)
    trained(tiny(*RING), False, monkeypatch, other)
    assert own.seen == other.seen and {"mock", "module", "wrapped", "leaves"} == set(own.seen)


def test_the_scaler_of_a_checkpoint_has_the_name_that_lightning_gives_it():
    assert DirectMixedPrecision.__qualname__ == MixedPrecision.__qualname__


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_half_precision_calls_the_same_hooks(precision: str, tiny, monkeypatch):
    """16-mixed with its loss scaler, as on a GPU: on a CPU Lightning has none, so it is given one."""
    counts = []
    for own in (True, False):
        witness = Witness()
        experiment = build_with(tiny(*RING), own, monkeypatch)
        trainer = experiment.trainer
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10) if precision == "16-mixed" else None
        trainer.strategy.precision_plugin = MixedPrecision(precision, "cpu", scaler)
        if own:
            use_direct_precision(trainer)
            assert trainer.scaler is scaler and trainer.precision == precision
        trainer.callbacks = [witness, *trainer.callbacks]
        trainer.fit(experiment.module, datamodule=experiment.data)
        counts.append(witness.seen)
    assert counts[0] == counts[1] and len(counts[0]) == 8 * 8 + 3 * 2


def test_other_precisions_stay(tiny, monkeypatch):
    trainer = build_with(tiny(*RING), False, monkeypatch).trainer
    trainer.strategy.precision_plugin = double = DoublePrecision()
    use_direct_precision(trainer)
    assert trainer.precision_plugin is double
