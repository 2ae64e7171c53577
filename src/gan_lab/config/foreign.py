"""Configs out of files that somebody else may have written: checkpoints, exports, run folders. They are data, not orders."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_lab import __version__
from gan_lab.config.schema import CONF
from gan_lab.config.targets import is_allowed_by_user, is_within
from gan_lab.errors import CheckpointError

PARTS = {"architecture": "gan_lab.architectures", "wrapper": "gan_lab.architectures", "dataset": "gan_lab.data"}
"""Groups of a foreign config that are built, and the package that their parts are in."""

_WORDS = {"_target_", "_partial_"}
"""What our own configs use of the words that Hydra's `instantiate` knows."""


def foreign_config(content: Any, origin: object) -> DictConfig:
    """A config out of a file, with every value as it stands there.

    It loses its `allow_targets`, for that is the word of whoever runs gan_lab.

    Args:
        content: YAML text, or plain lists and mappings.
        origin: The file, for messages.

    Raises:
        CheckpointError: It is no config, or holds interpolations, which could read the environment or files.
    """
    try:
        config = OmegaConf.create(content)
        plain = OmegaConf.to_container(config, resolve=False)
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError) as error:
        raise CheckpointError(f"{origin} has a config that cannot be read: {type(error).__name__}.") from error
    if not isinstance(config, DictConfig) or not isinstance(plain, dict):
        raise CheckpointError(f"{origin} has a config that cannot be read: it is no mapping.")
    for key, value in _leaves(plain):
        if isinstance(value, str) and ("${" in value or value == "???"):
            raise CheckpointError(f"{origin} has the config {key}={value}: in a file all values must be resolved.")
    config.pop("allow_targets", None)
    return config


def check_parts(node: Any, key: str, origin: object) -> None:
    """Refuse parts of a foreign config that are not gan_lab's own, before anything is imported.

    Args:
        node: What stands at `key`.
        key: Begins with a word of `PARTS`.
        origin: The file, for messages.

    Raises:
        CheckpointError: It asks for something else than the parts that gan_lab's own configs name for this group, and the
            user has not allowed it.
    """
    package = PARTS[key.partition(".")[0]]
    plain = OmegaConf.to_container(node, resolve=False) if isinstance(node, DictConfig) else node
    for name, value in _leaves(plain, key):
        word = name.rpartition(".")[2]
        if not re.fullmatch("_.*_", word):
            continue
        if word not in _WORDS:
            raise CheckpointError(f"{origin} has the config {name}={value}: a file may not use {word}.")
        ours = isinstance(value, str) and value in shipped_targets() and is_within(value, [package])
        if word == "_target_" and not ours and not is_allowed_by_user(str(value)):
            raise CheckpointError(
                f"{origin} asks for {name}={value}, which is no part of {package} {__version__}: if it is code of yours, "
                f"add allow_targets=[{value}]."
            )


@cache
def shipped_targets() -> frozenset[str]:
    """Every `_target_` that gan_lab's own configs name."""
    files = CONF.rglob("*.yaml")
    return frozenset(name for file in files for name in re.findall(r"_target_: *([\w.]+)", file.read_text()))


def _leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything that is no mapping or list, and of every word of Hydra, whatever it holds."""
    children = dict(enumerate(node)) if isinstance(node, list) else node
    if not isinstance(children, dict):
        yield key, node
        return
    for name, child in children.items():
        path = f"{key}.{name}".lstrip(".")
        if re.fullmatch("_.*_", str(name)) and isinstance(child, (dict, list)):
            yield path, child
        yield from _leaves(child, path)
