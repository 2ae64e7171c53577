"""Checks of config values beyond their types: ranges, choices and incompatible pairs."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from gan_lab.config.known_keys import check_keys
from gan_lab.errors import ConfigError, DataError, unknown_choice
from gan_lab.keys import leaves
from gan_lab.ranks import sign_of_processes


@dataclass(frozen=True)
class Rule:
    """A config key with the condition for its value, and the condition as text."""

    key: str
    holds: Callable[[Any], bool]
    allowed: str

    def check(self, value: Any) -> None:
        """Refuse a value.

        Raises:
            ConfigError: Names the key and what is allowed.
        """
        if not self.holds(value):
            raise ConfigError(f"{self.key}={value} is not allowed: it must be {self.allowed}.")


@dataclass(frozen=True)
class Choice:
    """A config key whose value is one of several names."""

    key: str
    options: tuple[str, ...]

    def check(self, value: Any) -> None:
        """Refuse other values.

        Raises:
            ConfigError: Names the key and the options.
        """
        if value not in self.options:
            raise ConfigError(unknown_choice(self.key, value, self.options))


RULES = (  # values that no constructor checks
    Rule("batch_size", lambda v: v >= 1, "at least 1"),
    Rule("lr", lambda v: 0 < v < float("inf"), "greater than 0"),
    Rule("betas", lambda v: len(v) == 2 and all(0 <= beta < 1 for beta in v), "two numbers in [0, 1)"),
    Rule("trouble.on_collapse", lambda v: v in ("warn", "stop", "rollback"), "warn, stop or rollback"),
    Rule("trouble.on_non_finite", lambda v: v in ("stop", "rollback"), "stop or rollback"),
    Rule("trouble.rollback.times", lambda v: v >= 1, "at least 1"),
    Rule("trouble.rollback.lr_factor", lambda v: 0 < v <= 1, "greater than 0 and at most 1"),
    Rule("seed", lambda v: 0 <= v < 2**32, "in [0, 4294967296)"),
    Rule("width", lambda v: v is None or v >= 1, "at least 1, or null for the architecture's own"),
    Rule("freeze_discriminator", lambda v: v >= 0, "at least 0"),
    Rule("default_width", lambda v: v >= 1, "at least 1"),
    Rule("budget.images", lambda v: v is None or v >= 1, "at least 1"),
    Rule("budget.kimg", lambda v: v is None or 0 < v < float("inf"), "greater than 0"),
    Rule("budget.epochs", lambda v: v is None or 0 < v < float("inf"), "greater than 0"),
    Rule("objective.mode", lambda v: v in (None, "min", "max"), "min, max, or null for the metric's own direction"),
    Rule("hardware.num_nodes", lambda v: v >= 1, "at least 1"),
    Rule("hardware.num_workers", lambda v: v >= 0, "at least 0"),
    Choice("hardware.precision", ("32-true", "bf16-mixed", "16-mixed")),
    Rule("trainer.use_distributed_sampler", lambda v: not v, "false, since the loaders know their rank"),
    Choice("hardware.strategy", ("auto", "ddp_by_player", "ddp_find_unused_parameters_true")),
    Rule("hardware.compile", lambda v: v in (False, True, "cudagraphs"), "false, true or cudagraphs"),
    Rule("hardware.float32_matmul_precision", lambda v: v in ("highest", "high", "medium"), "highest, high or medium"),
)

OF_ANY_PART = (
    Rule("budget_images", lambda v: v >= 1, "at least 1"),
    Rule("resolution", lambda v: v >= 1, "at least 1"),
    Rule("init_scale", lambda v: v > 0, "greater than 0"),
    Rule("skip_gain", lambda v: v > 0, "greater than 0"),
    Rule("fmap_decay", lambda v: v >= 0, "at least 0"),
    Rule("log_seconds", lambda v: v >= 0, "at least 0"),
    Rule("log_every_n_steps", lambda v: v >= 0, "at least 0"),
)
"""Rules for the numbers at all keys that end with their key: components take them as they are."""

LARGEST = 1e18
"""Largest number of any key, which has 64 bits as a whole number."""

FOLDERS = ("folder", "save_dir")
"""Last parts of keys of folders to write to."""

LENGTHS = (
    "max_epochs", "max_steps", "max_time", "min_epochs", "min_steps", "limit_train_batches", "overfit_batches",
    "fast_dev_run",
)  # fmt: skip
"""Options of Lightning's Trainer that set the length of a run; -1 is none."""

HARDWARE = ("accelerator", "devices", "num_nodes", "strategy", "precision")
"""The keys of `hardware` that are options of Lightning's Trainer."""

BENCH_RULES = (  # values that no constructor checks
    Rule("bench.seconds", lambda v: v > 0, "greater than 0"),
    Rule("bench.rounds", lambda v: v >= 0, "at least 0"),
    Rule("bench.tflops", lambda v: v is None or v > 0, "greater than 0, or null for no estimate of the time"),
    Rule("bench.warmup_batches", lambda v: v >= 0, "at least 0"),
)


def check_rules(cfg: DictConfig, rules: Sequence[Rule | Choice]) -> None:
    """Refuse numbers that are infinite, NaN or larger than `LARGEST` at any key, and values out of range.

    Raises:
        ConfigError: Names the key and what is allowed.
    """
    of_any_part = {rule.key: rule for rule in OF_ANY_PART}
    for key, value in leaves(OmegaConf.to_container(cfg, resolve=False), lists=True):
        name = key.rpartition(".")[2]
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{key}={value} is not allowed: it must be a finite number.")
        if type(value) in (int, float) and abs(value) > LARGEST:
            raise ConfigError(f"{key}={value} is not allowed: its size must be at most {LARGEST:.0e}.")
        if name in FOLDERS and value == "":
            raise ConfigError(f"{key}='' is not allowed: it must be a path; the working directory is '.'.")
        if type(value) in (int, float) and name in of_any_part:
            replace(of_any_part[name], key=key).check(value)
    for rule in rules:
        rule.check(OmegaConf.select(cfg, rule.key))


def check_values(cfg: DictConfig) -> None:
    """Refuse unknown and deleted keys, values out of range and two budget units at a time.

    Raises:
        ConfigError: Names the key and what is allowed.
    """
    check_keys(cfg)
    check_rules(cfg, RULES)
    given = [f"budget.{unit}={value}" for unit, value in cfg.budget.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} are two lengths of one run: give one of images, kimg and epochs.")
    for key, ours in {"gradient_clip_val": "clip_norm", "accumulate_grad_batches": "accumulate"}.items():
        if key in cfg.trainer:
            raise ConfigError(f"trainer.{key} does not work with several optimizers: use {ours} instead.")
    _check_length(cfg)
    _check_hardware(cfg)
    _check_best(cfg)


def _check_length(cfg: DictConfig) -> None:
    """Refuse options of the Trainer with which a run would end before or after its budget."""
    for key in LENGTHS:
        if cfg.trainer.get(key, -1) != -1:
            raise ConfigError(
                f"trainer.{key}={cfg.trainer[key]} is not allowed, since the budget is the length of a run: set "
                "budget.images, budget.epochs or time_limit instead."
            )


def _check_hardware(cfg: DictConfig) -> None:
    """Refuse options of the Trainer that are not those of `hardware`, which batches, estimates and names follow."""
    for name in HARDWARE:
        given, ours = cfg.trainer.get(name), cfg.hardware[name]
        if given != ours:
            raise ConfigError(
                f"trainer.{name}={given} is not allowed, since hardware.{name}={ours} is in use elsewhere: set "
                f"hardware.{name} instead."
            )


def _check_best(cfg: DictConfig) -> None:
    """Refuse two callbacks that would write the same `best.ckpt`, and its upload if none does."""
    logged, measured = (OmegaConf.select(cfg, f"callbacks.{name}.best") for name in ("checkpoints", "evaluation"))
    if logged is not None and measured is not None:
        raise ConfigError(
            f"callbacks.checkpoints.best={logged} and evaluation.best={measured} would both write "
            "checkpoints/best.ckpt: give one of them."
        )
    if logged is None and measured is None and OmegaConf.select(cfg, "logger.wandb.checkpoints") == "best":
        raise ConfigError(
            "logger.wandb.checkpoints=best needs a run that keeps its best checkpoint: give evaluation.best=<key in "
            "the log>, as in evaluation.best=eval/fd_digits_1k, or logger.wandb.checkpoints=last."
        )


def check_dataset(node: Any, hint: str) -> None:
    """Refuse a missing data set, and keys of one that is not chosen.

    Args:
        node: The value of `dataset`.
        hint: End of the message: why it is needed, and how to give it.

    Raises:
        ConfigError: Names the key.
    """
    if not node:
        raise ConfigError(f"dataset is not given: {hint}.")
    if "_target_" not in node:
        key = next(iter(node))
        raise ConfigError(f"dataset.{key}={node[key]} is given, but not the data set: {hint}.")


def check_batch_division(cfg: DictConfig, world_size: int) -> None:
    """Refuse batch sizes that cannot be divided evenly among processes and micro-batches.

    Raises:
        ConfigError: Names the keys.
    """
    pack = OmegaConf.select(cfg, "wrapper.discriminator.packing.size") or 1
    divisor = world_size * cfg.accumulate
    nodes = "" if world_size == 1 else " (hardware.devices x hardware.num_nodes)"
    for key, batch in _batches(cfg).items():
        if batch % divisor:
            raise ConfigError(
                f"{key}={batch} does not divide by {world_size} process(es){nodes} x accumulate={cfg.accumulate}: "
                f"choose a multiple of {divisor}."
            )
        if batch // divisor % pack:
            raise ConfigError(
                f"wrapper.discriminator.packing.size={pack} does not divide the {batch // divisor} "
                f"samples that one process scores at a time: choose {key} a multiple of {pack * divisor}."
            )


def check_size(cfg: DictConfig, images: int) -> None:
    """Refuse batches that are larger than the data set.

    Args:
        cfg: The resolved config.
        images: Images in the data set.

    Raises:
        DataError: Names the key.
    """
    batches = _batches(cfg)
    if len(batches) > 1:  # of networks that grow: `batch_size` is for the resolutions without their own
        del batches["batch_size"]
    for key, batch in batches.items():
        if images < batch:
            raise DataError(f"The data set has {images:,} images, fewer than {key}={batch}; give a smaller one.")


def _batches(cfg: DictConfig) -> dict[str, int]:
    """All batch sizes of a run, by config key."""
    by_resolution = OmegaConf.select(cfg, "growth.batch_sizes") or {}
    used = {
        f"growth.batch_sizes.{resolution}": batch
        for resolution, batch in by_resolution.items()
        if resolution <= cfg.dataset.resolution
    }
    return {"batch_size": cfg.batch_size, **used}


def check_launch(cfg: DictConfig) -> None:
    """Refuse a run of one process that a launcher has started several times: all of them would write its folder.

    Raises:
        ConfigError: Names the environment variable of the launcher and the keys.
    """
    devices = cfg.hardware.devices
    is_one = devices in (1, "1") or (isinstance(devices, ListConfig) and len(devices) == 1)
    if is_one and cfg.hardware.num_nodes == 1 and (sign := sign_of_processes()):
        raise ConfigError(
            f"{sign} shows that a launcher such as torchrun or srun has started several processes, and "
            f"hardware.devices={devices} is for one: set hardware.devices and hardware.num_nodes to theirs, or unset "
            f"{sign.partition('=')[0]}."
        )


def check_multirun(cfg: DictConfig, launcher: str) -> None:
    """Refuse a run of a sweep with an impossible number of processes.

    Args:
        cfg: The config of the run.
        launcher: The choice of `hydra/launcher`.

    Raises:
        ConfigError: Describes how to run several processes instead.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ or (sign_of_processes() and "submitit" not in launcher):
        raise ConfigError(
            "A sweep cannot be started by torchrun or srun, since each of their processes would run all "
            "of it: start it once, and it starts hardware.devices processes for each run, or use "
            "hydra/launcher=submitit_slurm."
        )
    if cfg.hardware.num_nodes > 1 and "submitit" not in launcher:
        raise ConfigError(
            f"hardware.num_nodes={cfg.hardware.num_nodes} in a sweep needs hydra/launcher=submitit_slurm: "
            "other launchers do not start processes on other machines."
        )


def budget_images(cfg: DictConfig, images_per_epoch: int, default: int) -> int:
    """Length of the run in real images, from the given unit of `budget`, else `default`."""
    if cfg.budget.kimg is not None:
        return round(1000 * cfg.budget.kimg)
    if cfg.budget.epochs is not None:
        return round(images_per_epoch * cfg.budget.epochs)
    return cfg.budget.images or default
