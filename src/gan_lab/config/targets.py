"""Whether a config node fits what its `_target_` takes: read off the signature, before anything is built."""

import inspect
import pkgutil
import typing
from collections.abc import Callable, Mapping
from inspect import Parameter
from types import NoneType, UnionType
from typing import Any

from gan_lab.errors import ConfigError

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", NoneType: "null"}
"""What YAML can write in one word, as messages call it."""


def check_node(node: Any, key: str) -> None:
    """Refuse, anywhere below `key`, targets that do not exist and options that do not suit them.

    Args:
        node: Plain lists and mappings, without interpolations.
        key: Where the node stands in the config.

    Raises:
        ConfigError: Names the key and what is allowed.
    """
    children = dict(enumerate(node)) if isinstance(node, list) else node
    if not isinstance(children, dict):
        return
    for name, child in children.items():
        check_node(child, f"{key}.{name}")
    if "_target_" in children and "_args_" not in children:
        options = {name: value for name, value in children.items() if not _is_hydra_word(name)}
        check_options(_find(children["_target_"], key), options, key, complete=not children.get("_partial_"))


def check_options(target: Callable[..., Any], options: Mapping[str, Any], key: str, complete: bool = True) -> None:
    """Refuse options that the target does not take or that have another type.

    Args:
        target: A class or function.
        options: Its arguments by name, plain values.
        key: Where the options stand in the config.
        complete: Whether nobody adds arguments later: then those without a default must be there.

    Raises:
        ConfigError: Names the key and what is allowed.
    """
    try:
        parameters = inspect.signature(target).parameters
        hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (TypeError, ValueError, NameError):
        return  # written in C, or types that cannot be resolved: the call itself will tell
    named = {n: p for n, p in parameters.items() if p.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)}
    takes_any = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values())
    name_of_target = f"{target.__module__}.{target.__qualname__}"
    for name, value in options.items():
        if name in named:
            _check_type(f"{key}.{name}", value, hints.get(name, Any), named[name].default)
        elif not takes_any:
            takes = ", ".join(named) or "no options"
            raise ConfigError(f"{key}.{name} is not an option of {name_of_target}: it takes {takes}.")
    missing = [
        name for name, parameter in named.items() if parameter.default is Parameter.empty and name not in options
    ]
    if complete and missing:
        raise ConfigError(f"{key}.{missing[0]} is missing: {name_of_target} needs it.")


def _check_type(key: str, value: Any, hint: Any, default: Any) -> None:
    """Refuse a value that YAML writes in one word where another kind of word is wanted; say nothing of objects."""
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, UnionType) else (hint,)
    wanted = [kind for kind in _WORDS if kind in kinds]
    only_words = len(wanted) == len(kinds)
    says_more = any(kind is Any or typing.get_origin(kind) is typing.Literal for kind in kinds)
    if wanted in ([], [NoneType]) or says_more or value is default or not (type(value) in _WORDS or only_words):
        return
    if type(value) not in wanted and not (type(value) is int and float in wanted):
        allowed = " or ".join(_WORDS[kind] for kind in wanted)
        raise ConfigError(f"{key}={value} is not allowed: it must be {allowed}.")


def _find(target: Any, key: str) -> Callable[..., Any]:
    if callable(target):
        return target  # from Python, not from YAML
    try:
        found = pkgutil.resolve_name(target)
    except Exception as error:  # whatever the import of a user's module raises
        reason = str(error).partition(";")[0]
        raise ConfigError(f"{key}._target_={target} cannot be imported: {type(error).__name__}: {reason}.") from error
    if not callable(found):
        raise ConfigError(f"{key}._target_={target} is not allowed: it must be a class or a function.")
    return found


def _is_hydra_word(name: str) -> bool:
    return name.startswith("_") and name.endswith("_")
