"""Timing of a training step inside the framework, in a Lightning Trainer."""

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.profilers import Profiler

from gan_lab.benchmark.bare import BareLoop, synchronize
from gan_lab.callbacks.budget import Budget
from gan_lab.callbacks.profiling import part_of
from gan_lab.config.build import Experiment
from gan_lab.data.loaders import ResumableLoader
from gan_lab.gans.base import AdversarialModule

PIECE_SECONDS = 0.25
"""Length of the pieces in which the framework and the bare loop alternate; a machine's speed changes within seconds."""


class Stopwatch(Callback):
    """Callback that times pieces of a run in turn with a bare loop, and stops the Trainer after some seconds.

    A piece has complete cycles of the updates, of which some may be made for every fifth or sixteenth batch only.
    Afterwards the bare loop trains on as many batches.

    Args:
        seconds: Length of the measurement.
        warmup: Batches before the measurement.
        bare: The bare loop; None to time the run alone, in one piece. If processes decode ahead, its turns are long,
            since what was decoded in the turn of the other loop is not measured.
    """

    def __init__(self, seconds: float, warmup: int, bare: BareLoop | None = None) -> None:
        self.seconds = seconds
        self.warmup = warmup
        self.bare = bare
        self.measured_batches = 0
        self.elapsed = 0.0
        self.bare_elapsed = 0.0
        self._ahead = 0  # batches that processes decode before they are asked for
        self._left = warmup  # batches until the clock starts
        self._piece = 0  # batches of the piece
        self._start = 0.0

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._ahead = batches_ahead(cast(Any, trainer).train_dataloader)
        if self.bare is not None:
            self.bare.run(self.warmup)
        if not self._left:
            self._begin(trainer, module)

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
        if self._left:
            self._left -= 1
            if not self._left:
                self._begin(trainer, module)
            return
        self._piece += 1
        if self._is_over(cast(AdversarialModule, module).runner.cycle):
            self._end(trainer, module)

    def _begin(self, trainer: Trainer, module: LightningModule) -> None:
        if isinstance(profiler := cast(Any, trainer).profiler, PhaseProfiler):
            profiler.begin()
        self._piece = 0
        synchronize(module.device)
        self._start = time.perf_counter()

    def _is_over(self, cycle: int) -> bool:
        alternates = self.bare is not None and not self._ahead
        seconds = min(self.seconds, PIECE_SECONDS) if alternates else self.seconds
        return self._piece % cycle == 0 and time.perf_counter() - self._start >= seconds

    def _end(self, trainer: Trainer, module: LightningModule) -> None:
        synchronize(module.device)
        self.elapsed += time.perf_counter() - self._start
        self.measured_batches += self._piece
        if isinstance(profiler := cast(Any, trainer).profiler, PhaseProfiler):
            profiler.end()
        # Not measured: a batch for the caches, and those that other processes decoded in the turn of the other loop.
        self._left = 1 + self._ahead
        if self.bare is not None:
            self.bare.run(self._left)
            self.bare_elapsed += self.bare.run(self._piece)
        trainer.should_stop = self.elapsed >= self.seconds


class PhaseProfiler(Profiler):
    """Profiler that sums wall-clock time by action name, synchronizing the GPU before and after each action."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self._started: dict[str, float] = {}
        self._is_measuring = False

    def begin(self) -> None:
        """Start to measure."""
        self.seconds.clear()
        self._is_measuring = True

    def end(self) -> None:
        """Keep what was measured; the last row of the log, at the end of the run, is not a part of it."""
        self._is_measuring = False

    def start(self, action_name: str) -> None:
        synchronize(self.device)
        self._started[action_name] = time.perf_counter()

    def stop(self, action_name: str) -> None:
        synchronize(self.device)
        spent = time.perf_counter() - self._started.pop(action_name)
        if self._is_measuring:
            self.seconds[action_name] += spent


@dataclass(frozen=True)
class Speed:
    """Measured time of a batch.

    Attributes:
        seconds: Of a batch in the framework.
        bare_seconds: Of a batch in the bare loop, in the same minute; None without one.
        parts: Seconds of a batch by part; empty unless profiled.
    """

    seconds: float
    bare_seconds: float | None
    parts: Mapping[str, float]


def run_framed(
    experiment: Experiment, seconds: float, warmup: int, bare: BareLoop | None = None, profile: bool = False
) -> Speed:
    """Train for about `seconds`, in turn with the bare loop if there is one."""
    trainer: Any = experiment.trainer
    stopwatch = Stopwatch(seconds, warmup, bare)
    others = [callback for callback in trainer.callbacks if not isinstance(callback, Stopwatch | Budget)]
    trainer.callbacks = [*others, stopwatch]  # ends the run instead of the budget
    profiler = PhaseProfiler(trainer.strategy.root_device)
    if profile:
        trainer.profiler = profiler
    trainer.fit(experiment.module, datamodule=experiment.data)
    names = ("data", *experiment.module.runner.players, "ema", "logging")
    parts = dict.fromkeys(names, 0.0) if profile else {}
    batches = stopwatch.measured_batches
    for action, spent in profiler.seconds.items():
        if (part := part_of(action)) in parts:
            parts[part] += spent / batches
    bare_seconds = None if bare is None else stopwatch.bare_elapsed / batches
    return Speed(stopwatch.elapsed / batches, bare_seconds, parts)


def batches_ahead(loader: Any) -> int:
    """Batches that processes of a loader decode before they are asked for, at most."""
    if isinstance(loader, ResumableLoader):
        return loader.batches_ahead
    return getattr(loader, "num_workers", 0) * (getattr(loader, "prefetch_factor", None) or 0)
