"""Text of overrides: Python values in Hydra's notation, shell commands, names of runs. Light to import: no torch."""

import numbers
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike, fspath
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf

from gan_lab.errors import ConfigError

MAX_NAME_BYTES = 255
"""Limit of the usual file systems for one part of a path."""

RUN_NAME = "run.name="


def override(key: str, value: Any) -> str:
    """An override in Hydra's notation: `None` as null, text and paths in quotes, lists, mappings.

    Raises:
        ConfigError: The value cannot be written in this notation.
    """
    return f"{key}={_value(value, key)}"


def _value(value: Any, key: str) -> str:
    if isinstance(value, (DictConfig, ListConfig)):
        value = OmegaConf.to_container(value, resolve=True)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        return repr(float(value))
    if isinstance(value, (str, PathLike)):
        return QuotedString(text=fspath(value), quote=Quote.single).with_quotes()
    if isinstance(value, (list, tuple)):
        return f"[{','.join(_value(each, key) for each in value)}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{_value(each, key)}" for name, each in value.items()) + "}"
    raise ConfigError(
        f"{key} is a {type(value).__name__}: give None, a truth value, a number, text, a list or a mapping."
    )


def overrides_between(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The overrides that turn one config into another: one for each value that was changed, added or deleted.

    Args:
        before: Plain config.
        now: Plain config.
        prefix: Key of both in the complete config, with a dot at its end.

    Raises:
        ConfigError: A value cannot be written as an override.
    """
    for name in dict.fromkeys([*before, *now]):
        key = f"{prefix}{name}"
        if name not in now:
            yield f"~{key}"
        elif name not in before:
            yield f"+{override(key, now[name])}"
        elif isinstance(before[name], Mapping) and isinstance(now[name], Mapping):
            yield from overrides_between(before[name], now[name], f"{key}.")
        elif before[name] != now[name]:
            yield override(key, now[name])


def to_paste(key: str, value: str | PathLike[str]) -> str:
    """An override as one argument of a shell command: `run=runs/a`, or `"run='runs/a b'"` where quotes are needed."""
    text = fspath(value)
    if re.fullmatch(r"[A-Za-z_./][\w./+-]*", text) and _parsed_value(f"{key}={text}") == text:
        return f"{key}={text}"
    return _quoted(override(key, text))


def allowing_again(targets: Iterable[str]) -> str:
    """The end of a command in a message that needs the `allow_targets` of this one; empty without any."""
    allowed = ",".join(targets)
    return f" allow_targets=[{allowed}]" if allowed else ""


def command_to_paste(arguments: Iterable[str]) -> str:
    """A command as a line for a shell, with Hydra's quotes only around values that need them."""
    return " ".join(map(_argument_to_paste, arguments))


def _argument_to_paste(argument: str) -> str:
    key, value = argument.partition("=")[0], _parsed_value(argument)
    is_quoted = isinstance(value, str) and argument == override(key, value)  # as arguments from Python are
    return to_paste(key, value) if is_quoted else _quoted(argument)


def _quoted(text: str) -> str:
    """Text as one argument of a shell command; of text with single quotes, in double quotes where these are enough."""
    return shlex.quote(text) if "'" not in text or re.search(r"[\"$`\\!]", text) else f'"{text}"'


def text_as_typed(argument: str) -> str:
    """An override whose value Hydra cannot read, such as `filter=model=gan`, as text; others unchanged."""
    key, _, text = argument.partition("=")
    return override(key, text) if _parsed_value(argument) is _UNREADABLE else argument


def names_as_typed(overrides: Sequence[str]) -> list[str]:
    """The overrides with `run.name` as the typed text: Hydra would parse `1e5` as 100000.0 and `true` as True.

    Raises:
        ConfigError: The name is not a valid folder name below `run.root`.
    """
    return [_name_as_typed(each) if each.startswith(RUN_NAME) else each for each in overrides]


def _name_as_typed(argument: str) -> str:
    value = _parsed_value(argument)
    if value is _UNREADABLE or isinstance(value, (list, dict)):  # Hydra refuses it, or sweeps over it
        return argument
    name = value if isinstance(value, str) else argument.removeprefix(RUN_NAME)
    if "${" not in name:
        _check_name(name)
    return argument if isinstance(value, str) else override("run.name", name)


def _check_name(name: str) -> None:
    parts = name.split("/")
    if name.startswith("/") or not all(parts) or {".", ".."} & set(parts) or "\0" in name:
        raise ConfigError(
            f"run.name={name} is not the name of a folder in run.root; write run.dir=FOLDER for one somewhere else."
        )
    if (longest := max(len(os.fsencode(part)) for part in parts)) > MAX_NAME_BYTES:
        raise ConfigError(f"run.name has {longest} bytes: at most {MAX_NAME_BYTES} are allowed.")


_UNREADABLE = object()


def _parsed_value(argument: str) -> Any:
    """Value of an override: `_UNREADABLE` if Hydra refuses it, a list of the values of a sweep."""
    try:
        parsed = OverridesParser.create().parse_override(argument)
    except (HydraException, ValueError, RecursionError):
        return _UNREADABLE
    return list(parsed.sweep_string_iterator()) if parsed.is_sweep_override() else parsed.value()
