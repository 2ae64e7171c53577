"""Whether a config may name a `_target_`, and fits what it takes: read off the signature, before anything is built."""

import inspect
import pkgutil
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from inspect import Parameter
from types import NoneType, UnionType
from typing import Any

from gan_lab.errors import ConfigError

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", NoneType: "null"}
"""What YAML can write in one word, as messages call it."""

ALLOWED = (
    "gan_lab", "torch.nn", "torch.optim", "lightning.pytorch.Trainer", "lightning.pytorch.callbacks",
    "lightning.pytorch.loggers", "lightning.pytorch.plugins", "lightning.pytorch.profilers", "lightning.pytorch.strategies",
)  # fmt: skip
"""Packages and classes that every config may build from. None of them is a door to the rest of Python."""

_HOMES = (*ALLOWED, "lightning.pytorch.trainer", "lightning.fabric.plugins")
"""Where the things that ALLOWED names say that they are defined."""

_BY_USER: ContextVar[tuple[str, ...]] = ContextVar("allow_targets", default=())


@contextmanager
def allowing(names: Iterable[str]) -> Iterator[None]:
    """For the time of the block, let configs build from these too: the user's word `allow_targets`.

    Args:
        names: Packages, modules, or full names of classes and functions.
    """
    token = _BY_USER.set((*_BY_USER.get(), *names))
    try:
        yield
    finally:
        _BY_USER.reset(token)


def is_allowed_by_user(target: str) -> bool:
    """Whether the user's `allow_targets` has this full name of a class or function, or a package that it is in."""
    return is_within(target, _BY_USER.get())


def is_within(name: str, packages: Iterable[str]) -> bool:
    """Whether a dotted name is one of `packages`, or in one of them."""
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def check_node(node: Any, key: str) -> None:
    """Refuse, anywhere below `key`, targets that are not allowed or do not exist and options that do not suit them.

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
    if "_target_" in children:
        target = find_target(children["_target_"], key)
        if "_args_" not in children:
            options = {name: value for name, value in children.items() if not _is_hydra_word(name)}
            check_options(target, options, key, complete=not children.get("_partial_"))


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


def find_target(target: Any, key: str) -> Callable[..., Any]:
    """The class or function of a `_target_` at `key`.

    Raises:
        ConfigError: It is not allowed, or does not exist.
    """
    if callable(target):
        return target  # from Python, not from YAML
    _refuse_name(target, key)  # before the import, which runs code
    module, _, name = target.rpartition(".")
    users = is_allowed_by_user(target)
    try:
        # Of ours only what stands in a module itself: its modules in turn hold all of Python, and its classes all they can do.
        found = pkgutil.resolve_name(target) if users else getattr(import_module(module), name)
    except Exception as error:  # whatever the import of a user's module raises
        reason = str(error).partition(";")[0]
        raise ConfigError(f"{key}._target_={target} cannot be imported: {type(error).__name__}: {reason}.") from error
    if not callable(found):
        raise ConfigError(f"{key}._target_={target} is not allowed: it must be a class or a function.")
    if not users and not is_within(getattr(found, "__module__", None) or "", _HOMES):
        raise ConfigError(f"{key}._target_={target} is not allowed: {found.__module__} has only lent it to {module}.")
    return found


def _refuse_name(target: Any, key: str) -> None:
    """Refuse what is outside the allowed packages, or is somebody's private part."""
    if not isinstance(target, str) or "." not in target:
        raise ConfigError(f"{key}._target_={target} is not allowed: write package.module.Name.")
    if is_allowed_by_user(target):
        return
    if not is_within(target, ALLOWED):
        raise ConfigError(
            f"{key}._target_={target} is not allowed: configs build from {', '.join(ALLOWED)}; if it is code of yours, "
            f"add allow_targets=[{target}]."
        )
    if any(part.startswith("_") for part in target.split(".")):
        raise ConfigError(f"{key}._target_={target} is not allowed: a name that begins with _ is private.")


def _is_hydra_word(name: str) -> bool:
    return name.startswith("_") and name.endswith("_")
