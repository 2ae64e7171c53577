"""The speed of one kind of step: both loops in turn, and where the time goes."""

import resource
import statistics
import sys
import tempfile
from dataclasses import dataclass

import torch
from omegaconf import DictConfig, open_dict

from gan_lab.benchmark.bare import BareLoop, bare_loop, real_batches
from gan_lab.benchmark.framed import run_framed
from gan_lab.config.build import Experiment, build, build_module
from gan_lab.data.base import TrainingData
from gan_lab.errors import ConfigError

CALLBACKS = ("train_log", "progress")
"""The callbacks of a run that work on every batch; pictures and checkpoints come too seldom to be timed in seconds."""


@dataclass(frozen=True)
class Report:
    """What `gan-lab bench` measured.

    Attributes:
        images_per_second: Real images, median over the rounds.
        bare_images_per_second: The same for the bare loop; None where there is none for this game.
        ratios: Framed over bare, one for each round; the two are measured one right after the other.
        shares: Part of a step to its share of the time; `penalty` is the difference to a run without penalties.
        peak_memory_bytes: Of the GPU, or of the whole process on a CPU.
    """

    images_per_second: float
    bare_images_per_second: float | None
    ratios: list[float]
    shares: dict[str, float]
    peak_memory_bytes: int

    def lines(self) -> list[str]:
        """As they are printed."""
        lines = [
            f"images per second        {self.images_per_second:10.1f}",
            f"seconds per 1000 images  {1000 / self.images_per_second:10.3f}",
            f"peak memory              {self.peak_memory_bytes / 2**20:10.0f} MiB",
        ]
        if self.bare_images_per_second is not None:
            spread = f"rounds {', '.join(f'{ratio:.3f}' for ratio in self.ratios)}"
            lines.append(f"bare PyTorch loop        {self.bare_images_per_second:10.1f} images per second")
            lines.append(f"ratio to the bare loop   {statistics.median(self.ratios):10.3f} ({spread})")
        lines.append("share of a step          " + ", ".join(f"{k} {100 * v:.1f} %" for k, v in self.shares.items()))
        return lines


def bench(cfg: DictConfig) -> Report:
    """Measure what the config describes.

    Raises:
        UserError: The config cannot be used, or asks for several processes.
    """
    if cfg.hardware.devices not in (1, "1", "auto"):
        raise ConfigError(
            f"hardware.devices={cfg.hardware.devices} cannot be measured, for bench times one process; "
            "bench.rounds=0 estimates the memory on each device."
        )
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        cfg = _without_rare_callbacks(cfg, folder)
        data = build(cfg).data
        framed, bare, ratios = _in_turn(cfg, data)
        shares = _shares(cfg, data)
    return Report(
        statistics.median(framed), statistics.median(bare) if bare else None, ratios, shares, _peak_memory()
    )  # fmt: skip


def _without_rare_callbacks(cfg: DictConfig, folder: str) -> DictConfig:
    cfg = cfg.copy()
    with open_dict(cfg):
        settings = cfg.pop("bench")
        cfg.callbacks = {name: node for name, node in cfg.callbacks.items() if name in CALLBACKS}
        cfg.run.name, cfg.run.dir, cfg.bench = "bench", folder, settings
    return cfg


def _in_turn(cfg: DictConfig, data: TrainingData) -> tuple[list[float], list[float], list[float]]:
    """Images per second of the framework and of the bare loop, round by round, and their ratios."""
    framed, bare = [], []
    settings = cfg.bench
    for _ in range(settings.rounds):
        experiment = build(cfg, data)
        framed.append(run_framed(experiment, settings.seconds, settings.warmup_batches)[0])
        if (loop := _bare_loop(experiment)) is not None:
            bare.append(loop.run(settings.seconds, settings.warmup_batches))
    return framed, bare, [ours / theirs for ours, theirs in zip(framed, bare, strict=False)]


def _bare_loop(experiment: Experiment) -> BareLoop | None:
    cfg = experiment.config
    device = experiment.trainer.strategy.root_device
    batches = real_batches(experiment.data, cfg.batch_size, device)
    return bare_loop(build_module(cfg), batches, cfg.batch_size, device, cfg.hardware.precision)


def _shares(cfg: DictConfig, data: TrainingData) -> dict[str, float]:
    settings = cfg.bench
    _, parts = run_framed(build(cfg, data), settings.seconds, settings.warmup_batches, profile=True)
    step = parts.pop("step")
    penalty = 0.0
    if cfg.regularizer:
        without = cfg.copy()
        without.regularizer = {}
        _, others = run_framed(build(without, data), settings.seconds, settings.warmup_batches, profile=True)
        penalty = max(parts["discriminator"] - others["discriminator"], 0.0)
    seconds = {**parts, "discriminator": parts["discriminator"] - penalty, "penalty": penalty}
    seconds["rest"] = max(step - sum(seconds.values()), 0.0)
    return {name: value / step for name, value in seconds.items()}


def _peak_memory() -> int:
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
