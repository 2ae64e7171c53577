"""Measured speed of a training step: the framework and the bare loop in turn, and the time of each part."""

import resource
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from omegaconf import DictConfig, open_dict

from gan_lab.benchmark.bare import BareLoop, bare_loop, real_batches
from gan_lab.benchmark.device_speed import DeviceSpeed, device_speed
from gan_lab.benchmark.framed import Speed, run_framed
from gan_lab.config.build import Experiment, build, build_module
from gan_lab.data.base import TrainingData
from gan_lab.errors import ConfigError

CALLBACKS = ("train_log", "progress")
"""Callbacks that run on every batch; figures and checkpoints are too rare to be timed within seconds."""


@dataclass(frozen=True)
class Report:
    """Measured speed and memory of a training step.

    Attributes:
        images_per_second: Real images, median over the rounds.
        bare_images_per_second: The same for the bare loop; None if the algorithm has no bare loop.
        ratios: Framework speed over bare speed in each round; both are measured in turn, a quarter of a second each.
        time_fractions: Fraction of a step's time by part; `penalty` is the difference to a run without penalties.
        peak_memory_bytes: Peak memory of the GPU, or of the process on a CPU.
        device: Speed of the device in large operations.
    """

    images_per_second: float
    bare_images_per_second: float | None
    ratios: list[float]
    time_fractions: dict[str, float]
    peak_memory_bytes: int
    device: DeviceSpeed

    def lines(self) -> list[str]:
        """Lines of the report."""
        lines = [
            f"images per second        {self.images_per_second:10.1f}",
            f"seconds per 1000 images  {1000 / self.images_per_second:10.3f}",
            f"peak memory              {self.peak_memory_bytes / 2**20:10.0f} MiB",
        ]
        if self.bare_images_per_second is not None:
            rounds = f"rounds {', '.join(f'{ratio:.3f}' for ratio in self.ratios)}"
            lines.append(f"bare PyTorch loop        {self.bare_images_per_second:10.1f} images per second")
            lines.append(f"ratio to the bare loop   {statistics.median(self.ratios):10.3f} ({rounds})")
        parts = ", ".join(f"{name} {100 * fraction:.1f} %" for name, fraction in self.time_fractions.items())
        lines.append(f"time of a step           {parts}")
        return lines


def bench(cfg: DictConfig) -> Report:
    """Measure what the config describes.

    Raises:
        UserError: The config cannot be used, or asks for several processes.
    """
    if cfg.hardware.devices not in (1, "1", "auto"):
        raise ConfigError(
            f"hardware.devices={cfg.hardware.devices} is not allowed, since bench measures one process: choose "
            "hardware.devices=1, or bench.rounds=0 to only estimate the memory on each device."
        )
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        cfg = _without_rare_callbacks(cfg, folder)
        experiment = build(cfg)
        fractions = _time_fractions(cfg, experiment.data)
        memory = _peak_memory()  # before the bare loop and the large operations
        rounds = list(_rounds(cfg, experiment.data))
        device = experiment.trainer.strategy.root_device
        speeds = device_speed(device, cfg.hardware.precision, cfg.bench.seconds / 4)
    bare = [each.bare_seconds for each in rounds if each.bare_seconds is not None]
    return Report(
        statistics.median(cfg.batch_size / each.seconds for each in rounds),
        statistics.median(cfg.batch_size / seconds for seconds in bare) if bare else None,
        [seconds / each.seconds for seconds, each in zip(bare, rounds, strict=False)],
        fractions,
        memory,
        speeds,
    )


def _without_rare_callbacks(cfg: DictConfig, folder: str) -> DictConfig:
    cfg = cfg.copy()
    with open_dict(cfg):
        settings = cfg.pop("bench")
        cfg.callbacks = {name: node for name, node in cfg.callbacks.items() if name in CALLBACKS}
        cfg.run.name, cfg.run.dir, cfg.bench = "bench", folder, settings
    return cfg


def _rounds(cfg: DictConfig, data: TrainingData) -> Iterator[Speed]:
    """Speed of the framework and of the bare loop in each round."""
    for _ in range(cfg.bench.rounds):
        experiment = build(cfg, data)
        yield run_framed(experiment, cfg.bench.seconds, cfg.bench.warmup_batches, _bare_loop(experiment))


def _bare_loop(experiment: Experiment) -> BareLoop | None:
    cfg = experiment.config
    device = experiment.trainer.strategy.root_device
    batches = real_batches(experiment.data, cfg.batch_size, device)
    return bare_loop(build_module(cfg), batches, cfg.batch_size, device, cfg.hardware.precision)


def _time_fractions(cfg: DictConfig, data: TrainingData) -> dict[str, float]:
    """Fraction of a step's time by part."""
    settings = cfg.bench
    experiment = build(cfg, data)
    penalized = [name for name, player in experiment.module.runner.players.items() if player.penalties]
    speed = run_framed(experiment, settings.seconds, settings.warmup_batches, profile=True)
    seconds = {**speed.parts, "penalty": 0.0}
    if penalized and (without := _without_penalties(cfg, data)) is not None:
        others = run_framed(without, settings.seconds, settings.warmup_batches, profile=True).parts
        for player in penalized:
            spent = max(seconds[player] - others[player], 0.0)
            seconds[player] -= spent
            seconds["penalty"] += spent
    seconds["rest"] = max(speed.seconds - sum(seconds.values()), 0.0)
    return {name: value / speed.seconds for name, value in seconds.items()}


def _without_penalties(cfg: DictConfig, data: TrainingData) -> Experiment | None:
    """The same without penalties; None if the algorithm needs them, as a generator that only matches features does."""
    without = cfg.copy()
    without.regularizer = {}
    try:
        return build(without, data)
    except ConfigError:
        return None


def _peak_memory() -> int:
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
