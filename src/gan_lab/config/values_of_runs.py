"""Settings of a sweep whose keys only its runs have, such as a key of an experiment that the sweep chooses."""

from collections.abc import Sequence
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gan_lab.config.compose import initialized
from gan_lab.config.groups import choices, config_folders, groups
from gan_lab.config.overrides import override as written

FLAGS = {"-m", "--multirun"}
"""Flags of several runs."""


def with_values_of_runs(arguments: Sequence[str]) -> list[str]:
    """The arguments of a basic sweep, where a single value of a key that only the runs have is `key=choice(value)`.

    Hydra applies single values also to the config of the sweep, whose model and experiment are others than those of
    its runs, and refuses keys that are not there. Lists are only for the runs.
    """
    if not _may_be_a_sweep(arguments):
        return list(arguments)
    overrides = {argument: parsed for argument in arguments if (parsed := _parsed(argument))}
    singles = {argument: each.key_or_group for argument, each in overrides.items() if _is_single_value(each)}
    chosen = [argument for argument, each in overrides.items() if _is_choice(each) and not each.is_sweep_override()]
    config = _composed(chosen, arguments) if singles else None
    if config is None or not _is_basic_sweep(config, arguments):
        return list(arguments)
    known = OmegaConf.to_container(config, resolve=False)
    lacking = {argument for argument, key in singles.items() if not _has(known, key)}
    return [_as_list(argument) if argument in lacking else argument for argument in arguments]


def _as_list(argument: str) -> str:
    key, _, value = argument.partition("=")
    return f"{key}=choice({value})"


def _is_choice(override: Override) -> bool:
    """Whether it chooses a file, or how Hydra runs."""
    key = override.key_or_group
    return key in groups() or "/" in key or key == "hydra.mode"


def _is_of_hydra(override: Override) -> bool:
    return override.key_or_group.split(".")[0] == "hydra"


def _is_single_value(override: Override) -> bool:
    others = override.is_sweep_override() or override.is_delete() or override.is_add() or override.is_force_add()
    if others or _is_choice(override) or _is_of_hydra(override):
        return False
    return override.value() is not None and bool(override.get_value_string())


def _may_be_a_sweep(arguments: Sequence[str]) -> bool:
    """Whether a flag, or a chosen sweep or experiment, may ask for several runs; false if the config is printed."""
    if {"-c", "--cfg", "-i", "--info", "-h", "--help"} & set(arguments):
        return False
    values = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    file = choices("experiment").get(values.get("experiment", ""))
    several = file is not None and b"MULTIRUN" in file.read_bytes()
    return several or bool(FLAGS & set(arguments) or {"sweep", "hydra.mode"} & values.keys())


def _composed(chosen: Sequence[str], arguments: Sequence[str]) -> DictConfig | None:
    """The config that Hydra composes before those of the runs; None if it does not compose, which Hydra reports."""
    folders = [f"file://{folder.absolute()}" for folder in config_folders(arguments)]
    path = [written("hydra.searchpath", folders)] if folders else []
    try:
        with initialized():
            return hydra.compose("train", [*chosen, *path], return_hydra_config=True)
    except Exception:
        return None


def _is_basic_sweep(config: DictConfig, arguments: Sequence[str]) -> bool:
    """Whether Hydra trains all combinations of values."""
    several = FLAGS & set(arguments) or config.hydra.mode == RunMode.MULTIRUN
    return bool(several) and config.hydra.runtime.choices["hydra/sweeper"] == "basic"


def _has(config: Any, key: str) -> bool:
    for part in key.split("."):
        if isinstance(config, dict):
            if part not in config:
                return False
            config = config[part]
    return True


def _parsed(argument: str) -> Override | None:
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:  # a flag, or a mistake that Hydra reports
        return None
