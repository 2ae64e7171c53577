"""`gan-lab bench`: what is measured and estimated, in words; networks that grow resolution by resolution."""

import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from gan_lab.benchmark.estimate import estimate
from gan_lab.benchmark.measure import bench
from gan_lab.config.build import build_growth
from gan_lab.config.checks import BENCH_RULES, budget_images, check_rules, check_values
from gan_lab.errors import ConfigError
from gan_lab.optim.growth import Growth


def report(cfg: DictConfig) -> Iterator[str]:
    """The lines of the report on a composed `bench` config, as soon as each is known.

    Raises:
        UserError: The config cannot be used, or asks for several processes.
    """
    check_rules(cfg, BENCH_RULES)
    check_values(cfg)
    cfg = _resolved(cfg)
    yield _conditions(cfg)
    growth = build_growth(cfg)
    if growth is None:
        yield from _one(cfg)
        return
    sides = [growth.first << k for k in range(growth.doublings + 1)]
    chosen = cfg.bench.resolutions or sides
    if unknown := [side for side in chosen if side not in sides]:
        raise ConfigError(f"bench.resolutions={unknown} is not allowed: the networks grow through {sides}.")
    for side in chosen:
        yield f"{side} x {side} pixels"
        yield from (f"  {line}" for line in _one(_held(cfg, growth, side)))


def _one(cfg: DictConfig) -> list[str]:
    lines = [f"batch                    {cfg.batch_size:10,} images"]
    measured = bench(cfg) if cfg.bench.rounds else None
    lines += measured.lines() if measured else []
    estimated = estimate(cfg)
    speed = measured.images_per_second if measured else None
    return lines + (estimated.lines(speed, cfg.bench.tflops) if estimated else [])


def _resolved(cfg: DictConfig) -> DictConfig:
    cfg = cfg.copy()
    cfg.budget.images = budget_images(cfg, 1, cfg.dataset.budget_images)  # some growth asks; no run gets so far
    cfg.budget.kimg = cfg.budget.epochs = None
    plain = OmegaConf.create(OmegaConf.to_container(cfg, resolve=False))  # leaves the schema's types behind
    OmegaConf.resolve(plain)
    assert isinstance(plain, DictConfig)
    return plain


def _held(cfg: DictConfig, growth: Growth, side: int) -> DictConfig:
    """The config of a run that stays at a resolution of its growth, with the batch that it has there."""
    cfg = cfg.copy()
    with open_dict(cfg):
        cfg.batch_size = cfg.dataset.batch_size = growth.batch_sizes.get(side, cfg.batch_size)
        held = {"_target_": "gan_lab.optim.growth.Growth", "resolution": growth.resolution, "first": side}
        cfg.growth = {} if side == growth.resolution else {**held, "hold_images": sys.maxsize}
    return cfg


def _conditions(cfg: DictConfig) -> str:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() and cfg.hardware.accelerator != "cpu" else _cpu()
    return (
        f"{cfg.game._target_.rpartition('.')[2]}, {cfg.architecture.generator._target_.rpartition('.')[2]}, "
        f"{cfg.hardware.precision}, {device}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}; {cfg.bench.rounds} rounds of {cfg.bench.seconds:g} s"
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []  # fmt: skip
    return names[0] if names else platform.processor() or platform.machine()
