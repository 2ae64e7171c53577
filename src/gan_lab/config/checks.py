"""What a config must satisfy beyond its types: ranges, words, and pairs that make no sense."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_lab.errors import ConfigError


@dataclass(frozen=True)
class Rule:
    """A key, what its value must satisfy, and the words that say so."""

    key: str
    holds: Callable[[Any], bool]
    allowed: str


RULES = (
    Rule("batch_size", lambda v: v >= 1, "at least 1"),
    Rule("n_critic", lambda v: v >= 1, "at least 1"),
    Rule("generator_batches", lambda v: v >= 1, "at least 1"),
    Rule("accumulate", lambda v: v >= 1, "at least 1"),
    Rule("lr", lambda v: v > 0, "greater than 0"),
    Rule("betas", lambda v: len(v) == 2 and all(0 <= beta < 1 for beta in v), "two numbers in [0, 1)"),
    Rule("clip_norm", lambda v: v is None or v > 0, "greater than 0, or null for no clipping"),
    Rule("on_collapse", lambda v: v in ("warn", "stop", "rollback"), "warn, stop or rollback"),
    Rule("on_non_finite", lambda v: v in ("stop", "rollback"), "stop or rollback"),
    Rule("rollback.times", lambda v: v >= 1, "at least 1"),
    Rule("rollback.rate", lambda v: 0 < v <= 1, "greater than 0 and at most 1"),
    Rule("label_smoothing", lambda v: 0 <= v < 0.5, "in [0, 0.5)"),
    Rule("adversarial_weight", lambda v: v >= 0, "at least 0"),
    Rule("conditioning.prior", lambda v: v in ("uniform", "data"), "uniform or data"),
    Rule("seed", lambda v: 0 <= v < 2**32, "in [0, 4294967296)"),
    Rule("width", lambda v: v >= 1, "at least 1"),
    Rule("latent.dim", lambda v: v >= 1, "at least 1"),
    Rule("latent.distribution", lambda v: v in ("normal", "uniform"), "normal or uniform"),
    Rule("latent.bound", lambda v: v > 0, "greater than 0"),
    Rule("averaging.half_life_images", lambda v: v >= 0, "at least 0"),
    Rule("averaging.rampup", lambda v: v is None or v > 0, "greater than 0, or null for no limit"),
    Rule("averaging.start_images", lambda v: v >= 0, "at least 0"),
    Rule("budget.images", lambda v: v is None or v >= 1, "at least 1"),
    Rule("budget.kimg", lambda v: v is None or v > 0, "greater than 0"),
    Rule("budget.epochs", lambda v: v is None or v > 0, "greater than 0"),
    Rule("objective.mode", lambda v: v in (None, "min", "max"), "min, max, or null for what the metric says"),
    Rule("hardware.num_nodes", lambda v: v >= 1, "at least 1"),
    Rule("hardware.num_workers", lambda v: v >= 0, "at least 0"),
    Rule("hardware.float32_matmul_precision", lambda v: v in ("highest", "high", "medium"), "highest, high or medium"),
)

BENCH_RULES = (
    Rule("bench.seconds", lambda v: v > 0, "greater than 0"),
    Rule("bench.rounds", lambda v: v >= 0, "at least 0"),
    Rule("bench.tflops", lambda v: v is None or v > 0, "greater than 0, or null for no estimate of the time"),
    Rule("bench.warmup_batches", lambda v: v >= 0, "at least 0"),
)


def check_rules(cfg: DictConfig, rules: Sequence[Rule]) -> None:
    """Refuse values out of range.

    Raises:
        ConfigError: Names the key and what is allowed.
    """
    for rule in rules:
        value = OmegaConf.select(cfg, rule.key)
        if not rule.holds(value):
            raise ConfigError(f"{rule.key}={value} is not allowed: it must be {rule.allowed}.")


def check_values(cfg: DictConfig) -> None:
    """Refuse values out of range and two budget units at a time.

    Raises:
        ConfigError: Names the key and what is allowed.
    """
    check_rules(cfg, RULES)
    for group in ("regularizer", "constraint"):
        for name, node in cfg[group].items():
            if isinstance(node, DictConfig):
                _check_regularizer(f"{group}.{name}", node)
    given = [f"budget.{unit}={value}" for unit, value in cfg.budget.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} are two lengths for one run: give one of images, kimg and epochs.")
    for key, ours in {"gradient_clip_val": "clip_norm", "accumulate_grad_batches": "accumulate"}.items():
        if key in cfg.trainer:
            raise ConfigError(f"trainer.{key} does not work with several optimizers: use {ours} instead.")


def _check_regularizer(key: str, node: DictConfig) -> None:
    interval = node.get("interval", 1)
    if not isinstance(interval, int) or interval < 1:
        raise ConfigError(f"{key}.interval={interval} is not allowed: it must be a whole number, at least 1.")
    weight = node.get("weight", 1.0)
    if not isinstance(weight, (int, float)) or weight < 0:
        raise ConfigError(f"{key}.weight={weight} is not allowed: it must be a number, at least 0.")


def check_sharing(cfg: DictConfig, world_size: int) -> None:
    """Refuse a batch that processes and micro-batches cannot share evenly.

    Raises:
        ConfigError: Names the keys.
    """
    pack = OmegaConf.select(cfg, "wrapper.discriminator.packing.size") or 1
    shares = world_size * cfg.accumulate
    for key, batch in _batches(cfg).items():
        if batch % shares:
            raise ConfigError(
                f"{key}={batch} does not divide by {world_size} process(es) x accumulate={cfg.accumulate}: "
                f"choose a multiple of {shares}."
            )
        if batch // shares % pack:
            raise ConfigError(
                f"wrapper.discriminator.packing.size={pack} does not divide the {batch // shares} "
                f"samples that one process judges at a time: choose {key} a multiple of {pack * shares}."
            )


def _batches(cfg: DictConfig) -> dict[str, int]:
    """Every size of a batch in a run, by the key that sets it."""
    by_side = OmegaConf.select(cfg, "growth.batch_sizes") or {}
    used = {f"growth.batch_sizes.{side}": batch for side, batch in by_side.items() if side <= cfg.dataset.resolution}
    return {"batch_size": cfg.batch_size, **used}


def check_multirun(cfg: DictConfig, launcher: str) -> None:
    """Refuse a run of a sweep for which the number of processes cannot be right.

    Args:
        cfg: The config of the run.
        launcher: What starts the runs: a word of `hydra/launcher`.

    Raises:
        ConfigError: Says how to run several processes instead.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ or (
        int(os.environ.get("SLURM_NTASKS", 1)) > 1 and "submitit" not in launcher
    ):
        raise ConfigError(
            "A sweep cannot be started by torchrun or srun, since each of their processes would run all of it: start it once, "
            "and it starts hardware.devices processes for each run, or use hydra/launcher=submitit_slurm."
        )
    if cfg.hardware.num_nodes > 1 and "submitit" not in launcher:
        raise ConfigError(
            f"hardware.num_nodes={cfg.hardware.num_nodes} in a sweep needs hydra/launcher=submitit_slurm: nobody else starts "
            "processes on other machines."
        )


def budget_images(cfg: DictConfig, images_per_epoch: int, default: int) -> int:
    """Length of the run in real images, from whichever unit of `budget` is given, else `default`."""
    if cfg.budget.kimg is not None:
        return round(1000 * cfg.budget.kimg)
    if cfg.budget.epochs is not None:
        return round(images_per_epoch * cfg.budget.epochs)
    return cfg.budget.images or default
