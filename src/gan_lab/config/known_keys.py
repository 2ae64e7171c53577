"""Refusal of unknown keys and of deleted keys that a command needs. Light to import: no torch."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from gan_lab.errors import ConfigError


def unknown_key(key: str, guesses: Sequence[str]) -> str:
    """The message for a key that is not in the config; `guesses` are suggestions."""
    hint = f"did you mean {' or '.join(guesses)}?" if guesses else "add --cfg job to print all keys."
    return f"{key} is not a key of this config: {hint}"


def check_keys(cfg: DictConfig) -> None:
    """Refuse keys that `+key=value` adds to a node with a schema, and those that `~key` deletes from it.

    Raises:
        ConfigError: Names the key.
    """
    for prefix, node in _typed_nodes(cfg):
        names = {field.name for field in fields(cast(Any, OmegaConf.get_type(node)))}
        for name in map(str, node):
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                raise ConfigError(unknown_key(f"{prefix}{name}", [f"{prefix}{guess}" for guess in near]))
        for name in sorted(names - set(node)):
            raise ConfigError(f"{prefix}{name} is missing, and this command needs it: leave out ~{prefix}{name}.")


def _typed_nodes(node: DictConfig, prefix: str = "") -> Iterator[tuple[str, DictConfig]]:
    """Key prefix and content of every node of the config that has a schema."""
    if not is_dataclass(OmegaConf.get_type(node)):
        return
    yield prefix, node
    for name in map(str, node):
        absent = OmegaConf.is_missing(node, name) or OmegaConf.is_interpolation(node, name)
        if not absent and isinstance(node[name], DictConfig):
            yield from _typed_nodes(node[name], f"{prefix}{name}.")
