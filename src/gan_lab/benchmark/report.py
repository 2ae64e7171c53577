"""`gan-lab bench`: measured and estimated cost of a training step, for growing networks at each resolution."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from gan_lab.benchmark.estimate import Estimate, estimate
from gan_lab.benchmark.measure import Report as Measured
from gan_lab.benchmark.measure import bench as measure
from gan_lab.config.build import build_growth
from gan_lab.config.checks import BENCH_RULES, budget_images, check_rules, check_values
from gan_lab.errors import ConfigError
from gan_lab.optim.growth import Growth
from gan_lab.training.fit import quiet_lightning


@dataclass(frozen=True)
class BenchStage:
    """A training step at one resolution.

    Attributes:
        resolution: Resolution in pixels of growing networks; None for others.
        batch_size: Images in a batch.
        measured: Speed and memory; None with `bench.rounds=0`.
        estimated: Memory, operations and time; None if the step cannot be estimated.
        tflops: Assumed speed of each device, in 1e12 operations per second, for the estimated time.
    """

    resolution: int | None
    batch_size: int
    measured: Measured | None
    estimated: Estimate | None
    tflops: float | None

    def __str__(self) -> str:
        lines = [f"batch                    {self.batch_size:10,} images"]
        lines += self.measured.lines() if self.measured else []
        speed = self.measured.images_per_second if self.measured else None
        lines += self.estimated.lines(speed, self.tflops) if self.estimated else []
        if self.measured and self.estimated:
            lines += self.measured.device.lines(self.measured.images_per_second * self.estimated.operations)
        if self.resolution is not None:
            lines = [f"{self.resolution} x {self.resolution} pixels", *(f"  {line}" for line in lines)]
        return "\n".join(lines)


@dataclass(frozen=True)
class Bench:
    """Result of `gan-lab bench`.

    Attributes:
        conditions: Algorithm, generator, precision, device and versions, as text.
        stages: One stage, or one for each resolution of growing networks.
    """

    conditions: str
    stages: tuple[BenchStage, ...] = field(default_factory=tuple)

    def __str__(self) -> str:
        return "\n".join(map(str, [self.conditions, *self.stages]))


def bench(cfg: DictConfig) -> Bench:
    """Measure and estimate the training step of a composed `bench` config.

    Raises:
        UserError: The config cannot be used, or asks for several processes.
    """
    conditions, *stages = report(cfg)
    return Bench(str(conditions), tuple(stage for stage in stages if isinstance(stage, BenchStage)))


def report(cfg: DictConfig) -> Iterator[str | BenchStage]:
    """Yield the conditions of a composed `bench` config, then each stage as soon as it is measured.

    Raises:
        UserError: The config cannot be used, or asks for several processes.
    """
    quiet_lightning()
    check_rules(cfg, BENCH_RULES)
    check_values(cfg)
    cfg = _resolved(cfg)
    yield _conditions(cfg)
    growth = build_growth(cfg)
    if growth is None:
        yield _stage(cfg, None)
        return
    resolutions = [growth.first << k for k in range(growth.doublings + 1)]
    chosen = resolutions if cfg.bench.resolutions is None else cfg.bench.resolutions
    if not chosen:
        raise ConfigError(f"bench.resolutions=[] is not allowed: choose from {resolutions}, or null for all.")
    if unknown := [resolution for resolution in chosen if resolution not in resolutions]:
        raise ConfigError(f"bench.resolutions={unknown} is not allowed: the networks grow through {resolutions}.")
    for resolution in chosen:
        yield _stage(_held(cfg, growth, resolution), resolution)


def _stage(cfg: DictConfig, resolution: int | None) -> BenchStage:
    measured = measure(cfg) if cfg.bench.rounds else None
    return BenchStage(resolution, cfg.batch_size, measured, estimate(cfg), cfg.bench.tflops)


def _resolved(cfg: DictConfig) -> DictConfig:
    cfg = cfg.copy()
    cfg.budget.images = budget_images(
        cfg, 1, cfg.dataset.budget_images
    )  # some growth schedules need it; no run reaches it
    cfg.budget.kimg = cfg.budget.epochs = None
    plain = OmegaConf.create(OmegaConf.to_container(cfg, resolve=False))  # without the schema's types
    OmegaConf.resolve(plain)
    assert isinstance(plain, DictConfig)
    return plain


def _held(cfg: DictConfig, growth: Growth, resolution: int) -> DictConfig:
    """Config of a run that stays at one resolution of its growth, with the batch size of that resolution."""
    cfg = cfg.copy()
    with open_dict(cfg):
        cfg.batch_size = cfg.dataset.batch_size = growth.batch_sizes.get(resolution, cfg.batch_size)
        held = {"_target_": "gan_lab.optim.growth.Growth", "resolution": growth.resolution, "first": resolution}
        cfg.growth = {} if resolution == growth.resolution else {**held, "hold_images": 10**18}
    return cfg


def _conditions(cfg: DictConfig) -> str:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() and cfg.hardware.accelerator != "cpu" else _cpu()
    return (
        f"{cfg.algorithm._target_.rpartition('.')[2]}, {cfg.architecture.generator._target_.rpartition('.')[2]}, "
        f"{cfg.hardware.precision}, {device}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}; {cfg.bench.rounds} rounds of {cfg.bench.seconds:g} s"
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
