"""Timing of a training step inside the framework, in a Lightning Trainer."""

import time
from collections import defaultdict
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.profilers import Profiler

from gan_lab.benchmark.bare import synchronize
from gan_lab.callbacks.budget import Budget
from gan_lab.callbacks.profiling import part_of
from gan_lab.config.build import Experiment
from gan_lab.gans.base import AdversarialModule


class Stopwatch(Callback):
    """Callback that times the batches after a warmup and stops the Trainer after some seconds.

    It stops after complete cycles of the updates, of which some may be made for every fifth or sixteenth batch only.

    Args:
        seconds: Length of the measurement.
        warmup: Batches before the measurement.
    """

    def __init__(self, seconds: float, warmup: int) -> None:
        self.seconds = seconds
        self.warmup = warmup
        self.batches = 0
        self.images = 0
        self.start = 0.0
        self.elapsed = 0.0

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
        self.batches += 1
        seen = cast(AdversarialModule, module).images_seen
        if self.batches == self.warmup:
            synchronize(module.device)
            self.start = time.perf_counter()
            self.images = -seen
            if isinstance(profiler := cast(Any, trainer).profiler, PhaseProfiler):
                profiler.seconds.clear()
        elif self.batches > self.warmup and self._is_over(cast(AdversarialModule, module).runner.cycle):
            synchronize(module.device)
            self.elapsed = time.perf_counter() - self.start
            self.images += seen
            trainer.should_stop = True

    def _is_over(self, cycle: int) -> bool:
        return self.measured_batches % cycle == 0 and time.perf_counter() - self.start >= self.seconds

    @property
    def measured_batches(self) -> int:
        """Number of batches in the time `elapsed`."""
        return self.batches - self.warmup


class PhaseProfiler(Profiler):
    """Profiler that sums wall-clock time by action name, synchronizing the GPU before and after each action."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self._started: dict[str, float] = {}

    def start(self, action_name: str) -> None:
        synchronize(self.device)
        self._started[action_name] = time.perf_counter()

    def stop(self, action_name: str) -> None:
        synchronize(self.device)
        self.seconds[action_name] += time.perf_counter() - self._started.pop(action_name)


def run_framed(
    experiment: Experiment, seconds: float, warmup: int, profile: bool = False
) -> tuple[float, dict[str, float]]:
    """Train for about `seconds`; return real images per second and, if profiled, seconds per batch by part."""
    trainer: Any = experiment.trainer
    stopwatch = Stopwatch(seconds, warmup)
    others = [callback for callback in trainer.callbacks if not isinstance(callback, Stopwatch | Budget)]
    trainer.callbacks = [*others, stopwatch]  # ends the run instead of the budget
    profiler = PhaseProfiler(trainer.strategy.root_device)
    if profile:
        trainer.profiler = profiler
    trainer.fit(experiment.module, datamodule=experiment.data)
    parts = dict.fromkeys(("data", "discriminator", "generator", "ema", "logging"), 0.0)
    for action, spent in profiler.seconds.items():
        if (part := part_of(action)) in parts:
            parts[part] += spent
    batches = stopwatch.measured_batches
    per_batch = {name: value / batches for name, value in parts.items()} if profile else {}
    return stopwatch.images / stopwatch.elapsed, per_batch | {"step": stopwatch.elapsed / batches}
