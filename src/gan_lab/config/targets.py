"""Checks of a config's `_target_` and its options against a list and the signature, before anything is built."""

import inspect
import os
import pkgutil
import re
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from functools import cache
from importlib import import_module
from inspect import Parameter
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Any

from gan_lab.config.schema import CONF
from gan_lab.errors import ConfigError

_SCALARS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", NoneType: "null"}
"""Scalar types of YAML and their names in messages."""

FAMILIES = tuple(
    f"gan_lab.{family}"
    for family in (
        "losses", "regularizers", "optim", "augment", "layers", "architectures", "data", "metrics", "gans",
        "callbacks", "loggers",
    )
)  # fmt: skip
"""Packages of gan_lab whose public classes every config may name. Functions must be named in a file of `conf/`, since a
function may take a path, another target or `allow_targets`."""

TORCH = {"torch.nn": "torch.nn.Module", "torch.optim": "torch.optim.Optimizer"}
"""Packages of PyTorch, and the base class of the classes that a config may name there."""

LIGHTNING = frozenset(
    f"lightning.pytorch.{name}"
    for name in (
        "Trainer",
        "callbacks.DeviceStatsMonitor", "callbacks.EarlyStopping", "callbacks.LearningRateMonitor",
        "callbacks.ModelSummary",
        "callbacks.RichModelSummary", "callbacks.RichProgressBar", "callbacks.Timer", "callbacks.TQDMProgressBar",
        "loggers.CSVLogger", "loggers.TensorBoardLogger",
        "plugins.DoublePrecision", "plugins.HalfPrecision", "plugins.MixedPrecision", "plugins.Precision",
        "plugins.TorchSyncBatchNorm",
        "plugins.environments.LightningEnvironment", "plugins.environments.SLURMEnvironment",
        "plugins.environments.TorchElasticEnvironment",
        "profilers.AdvancedProfiler", "profilers.PassThroughProfiler", "profilers.PyTorchProfiler",
        "profilers.SimpleProfiler",
        "strategies.DDPStrategy", "strategies.SingleDeviceStrategy",
    )
)  # fmt: skip
"""Classes of Lightning that every config may name, each reviewed: their arguments affect at most an output folder and
the processes of the run. Left out are classes that send data over a network (WandbLogger, CometLogger, MLFlowLogger,
NeptuneLogger, ...), read a checkpoint or a config by path (DeepSpeed, FSDP, the tuners), delete files
(ModelCheckpoint), or take functions (LambdaCallback)."""

_BY_USER: ContextVar[tuple[str, ...]] = ContextVar("allow_targets", default=())


@contextmanager
def allowing(names: Iterable[str]) -> Iterator[None]:
    """Allow configs to name these targets, too, inside the block: the value of the user's `allow_targets`.

    Args:
        names: Packages, modules, or full names of classes and functions.
    """
    token = _BY_USER.set((*_BY_USER.get(), *names))
    try:
        yield
    finally:
        _BY_USER.reset(token)


def is_allowed_by_user(target: str) -> bool:
    """Whether the user's `allow_targets` contains this full name, or a package that contains it."""
    return is_within(target, _BY_USER.get())


def is_within(name: str, packages: Iterable[str]) -> bool:
    """Whether a dotted name is one of `packages`, or in one of them."""
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


@cache
def shipped_targets() -> frozenset[str]:
    """Every `_target_` named in `conf/`, except in `conf/local`, which belongs to the user."""
    files = (file for file in CONF.rglob("*.yaml") if file.relative_to(CONF).parts[0] != "local")
    return frozenset(
        name for file in files for name in re.findall(r"_target_: *([\w.]+)", file.read_text(encoding="utf-8"))
    )


def check_node(node: Any, key: str) -> None:
    """Refuse targets below `key` that are not allowed or do not exist, and options that do not fit their signatures.

    Args:
        node: Plain lists and mappings, without interpolations.
        key: The node's key in the config.

    Raises:
        ConfigError: Names the key and what is allowed.
    """
    children = dict(enumerate(node)) if isinstance(node, list) else node
    if not isinstance(children, dict):
        return
    for name, child in children.items():
        check_node(child, f"{key}.{name}")
    partial = children.get("_partial_", False)
    if not isinstance(partial, bool):
        raise ConfigError(f"{key}._partial_={partial} is not allowed: it must be true or false.")
    if "_target_" in children:
        target = find_target(children["_target_"], key)
        if "_args_" not in children:
            options = {name: value for name, value in children.items() if not _is_special_key(name)}
            check_options(target, options, key, complete=not partial)


def check_options(target: Callable[..., Any], options: Mapping[str, Any], key: str, complete: bool = True) -> None:
    """Refuse options that the target does not take or that have a wrong type.

    Args:
        target: A class or function.
        options: Its arguments by name, plain values.
        key: The key of the options in the config.
        complete: Whether these are all arguments: then each one without a default must be given.

    Raises:
        ConfigError: Names the key and what is allowed.
    """
    try:
        parameters = inspect.signature(target).parameters
        hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (TypeError, ValueError, NameError):
        return  # written in C, or types that cannot be resolved: the call itself will fail
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
    """Refuse a value that no part of the type hint allows, as far as YAML shows types."""
    if value is default or any(_matches(value, kind) for kind in _kinds(hint)):
        return
    raise ConfigError(f"{key}={value} is not allowed: it must be {allowed_values(hint)}.")


def allowed_values(hint: Any) -> str:
    """What a type hint allows, as text: `a number or null`."""
    return " or ".join(dict.fromkeys(map(_kind_name, _kinds(hint))))


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The parts of a union, or the type itself."""
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, UnionType) else (hint,)


def _matches(value: Any, kind: Any) -> bool:
    """Whether a plain value, or the mapping of a component, may be given for a type; True for unknown types."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or origin is typing.Literal:  # its reader names the keys that it comes from
        return True
    if kind in _SCALARS:
        return type(value) is kind or (kind is float and type(value) is int)
    if origin in (typing.Union, UnionType):
        return any(_matches(value, each) for each in inner)
    if _is_callable(kind):
        return callable(value) or (isinstance(value, dict) and "_target_" in value)
    if origin is tuple and inner and Ellipsis not in inner:
        return isinstance(value, (list, tuple)) and len(value) == len(inner) and all(map(_matches, value, inner))
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return isinstance(value, Mapping)
    if inspect.isclass(origin) and issubclass(origin, Iterable):
        return isinstance(value, (list, tuple)) and all(_matches(each, inner[0]) for each in value if inner)
    if inspect.isclass(kind) and not issubclass(kind, (PurePath, Enum)):
        if isinstance(value, dict):
            return "_target_" in value or kind is dict
        return type(value) not in (bool, int, float, str, list)  # a component, or a reference to null
    return True


def _is_callable(kind: Any) -> bool:
    return kind is Callable or typing.get_origin(kind) is Callable


def _kind_name(kind: Any) -> str:
    """What to write in YAML for a type."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if origin is tuple and inner and Ellipsis not in inner:
        return f"a list of {len(inner)} values"
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return "a mapping"
    if inspect.isclass(origin) and issubclass(origin, Iterable) and not _is_callable(kind):
        return f"a list of {_plural(inner[0])}" if inner and inner[0] in _SCALARS else "a list"
    return "a mapping with a _target_"


def _plural(scalar: Any) -> str:
    return {int: "whole numbers", float: "numbers", str: "texts", bool: "truth values"}.get(scalar, "values")


def find_target(target: Any, key: str) -> Callable[..., Any]:
    """The class or function of a `_target_` at `key`.

    Raises:
        ConfigError: It is not allowed, or does not exist.
    """
    if callable(target):
        return target  # from Python, not from YAML
    _check_name(target, key)  # before the import, which runs code
    module, _, name = target.rpartition(".")
    users = is_allowed_by_user(target)
    if users:
        _make_working_directory_importable()
    try:
        # Of gan_lab only attributes of the module: through imported modules all of Python is reachable.
        found = pkgutil.resolve_name(target) if users else getattr(import_module(module), name)
    except Exception as error:  # the import of a user's module may raise anything
        reason = str(error).partition(";")[0]
        raise ConfigError(f"{key}._target_={target} cannot be imported: {type(error).__name__}: {reason}.") from error
    if not callable(found):
        raise ConfigError(f"{key}._target_={target} is not allowed: it must be a class or a function.")
    if not (users or target in shipped_targets() or target in LIGHTNING or _is_class_of_family(found, module)):
        raise _not_allowed(target, key)
    return found


def _make_working_directory_importable() -> None:
    """Append the working directory to the search path: the console script of gan-lab has only its own folder there."""
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())


def _check_name(target: Any, key: str) -> None:
    """Refuse names that are not allowed, whatever object they refer to."""
    if not isinstance(target, str) or "." not in target:
        raise ConfigError(f"{key}._target_={target} is not allowed: write package.module.Name.")
    if is_allowed_by_user(target) or target in shipped_targets() or target in LIGHTNING:
        return
    if not is_within(target, (*FAMILIES, *TORCH)):
        raise _not_allowed(target, key)
    if any(part.startswith("_") for part in target.split(".")):
        raise ConfigError(f"{key}._target_={target} is not allowed: a name that begins with _ is private.")


def _is_class_of_family(found: Any, module: str) -> bool:
    """Whether it is a class of gan_lab defined in `module`, or a network or optimizer class of PyTorch."""
    if not inspect.isclass(found):
        return False
    if is_within(module, FAMILIES):
        return found.__module__ == module
    base = next(pkgutil.resolve_name(base) for package, base in TORCH.items() if is_within(module, [package]))
    return issubclass(found, base) and is_within(found.__module__, TORCH)


def _not_allowed(target: str, key: str) -> ConfigError:
    return ConfigError(
        f"{key}._target_={target} is not allowed: configs may name the targets of the files in conf/, the classes of "
        "gan_lab's losses, networks, data, metrics and callbacks, torch.nn, torch.optim, and a list of "
        f"Lightning's{how_to_allow(target)}."
    )


def how_to_allow(target: str) -> str:
    """The end of a refusal that names the option for own code; empty for Python's own functions, such as os.system."""
    is_of_python = target.partition(".")[0] in sys.stdlib_module_names
    return "" if is_of_python else f"; for your own code, add allow_targets=[{target}]"


def _is_special_key(name: str) -> bool:
    return name.startswith("_") and name.endswith("_")
