"""Configs from files that may come from another person: checkpoints, exports, run folders. Read as data only."""

import re
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_lab.config.targets import how_to_allow, is_allowed_by_user, is_within, shipped_targets
from gan_lab.errors import CheckpointError
from gan_lab.keys import entries
from gan_lab.runs.plain_yaml import check_yaml
from gan_lab.version import __version__

PARTS = {
    "architecture": "gan_lab.architectures", "wrapper": "gan_lab.architectures", "dataset": "gan_lab.data",
    "conditioning": "gan_lab.gans.conditions", "algorithm": "gan_lab.gans",
}  # fmt: skip
"""Groups of a foreign config that are built, and the package that contains their targets."""

_SPECIAL_KEYS = {"_target_", "_partial_"}
"""Special keys of Hydra's `instantiate` that the configs of gan_lab use."""


def foreign_config(content: Any, origin: object) -> DictConfig:
    """A config from a file, with unchanged values.

    Its `allow_targets` is removed, since only the user who runs gan_lab may set it.

    Args:
        content: YAML text, or plain lists and mappings.
        origin: The file, for messages.

    Raises:
        CheckpointError: It is not a config, or has interpolations, which could read the environment or files.
    """
    try:
        if isinstance(content, str):
            check_yaml(content)
        config = OmegaConf.create(content)
        plain = OmegaConf.to_container(config, resolve=False)
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", None) or str(error)  # without a copy of the lines
        raise CheckpointError(f"{origin} has a config that cannot be read: {' '.join(reason.split())}.") from error
    except (OmegaConfBaseException, ValueError, RecursionError) as error:
        raise CheckpointError(f"{origin} has a config that cannot be read: {type(error).__name__}.") from error
    if not isinstance(config, DictConfig) or not isinstance(plain, dict):
        raise CheckpointError(f"{origin} has a config that cannot be read: it is not a mapping.")
    for key, value in entries(plain, lists=True):
        if isinstance(value, str) and ("${" in value or value == "???"):
            raise CheckpointError(f"{origin} has the config {key}={value}: in a file all values must be resolved.")
    config.pop("allow_targets", None)
    return config


def check_parts(node: Any, key: str, origin: object) -> None:
    """Refuse targets of a foreign config that are not gan_lab's own, before anything is imported.

    Args:
        node: The value of `key`.
        key: Begins with a key of `PARTS`.
        origin: The file, for messages.

    Raises:
        CheckpointError: It names a target that gan_lab's own configs do not name in this group, and the user has not
            allowed it.
    """
    package = PARTS[key.partition(".")[0]]
    plain = OmegaConf.to_container(node, resolve=False) if isinstance(node, DictConfig) else node
    for name, value in entries({key: plain}, lists=True):
        last = name.rpartition(".")[2]
        if not re.fullmatch("_.*_", last):
            continue
        if last not in _SPECIAL_KEYS:
            raise CheckpointError(f"{origin} has the config {name}={value}: a file may not use {last}.")
        ours = isinstance(value, str) and value in shipped_targets() and is_within(value, [package])
        if last == "_target_" and not ours and not is_allowed_by_user(str(value)):
            raise CheckpointError(
                f"{origin} asks for {name}={value}, which is not part of {package} "
                f"{__version__}{how_to_allow(str(value))}."
            )
