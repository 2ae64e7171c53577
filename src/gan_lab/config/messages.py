"""User-facing error messages for exceptions of Hydra, OmegaConf, YAML and the file system."""

import difflib
import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from functools import singledispatch
from typing import Any, get_type_hints

import hydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)
from yaml import YAMLError

from gan_lab.config import schema
from gan_lab.config.groups import choices, groups, split_choice, user_files
from gan_lab.config.known_keys import unknown_key
from gan_lab.config.overrides import to_paste
from gan_lab.config.targets import allowed_values
from gan_lab.errors import ConfigError, TrainingError, UserError, is_out_of_memory, unknown_choice
from gan_lab.files import read_text
from gan_lab.keys import entries
from gan_lab.terminal import printable

_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOENT,
    errno.ENOTDIR, errno.ENXIO, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG,
}  # fmt: skip
"""Errors of the disk and of permissions."""

_LIMITS = {errno.EMFILE, errno.ENFILE, errno.EAGAIN}
"""Errors of limits on open files and processes."""


REASON_CHARACTERS = 300
"""Longest text of `reason`."""


def reason(error: BaseException, command: str) -> str:
    """The reason of a failure: the message for a user error, or the class and the first line of any other exception.

    One line of at most `REASON_CHARACTERS`, without control characters.
    """
    text = describe(error, command)
    if text is None:
        first = next((line for line in str(error).splitlines() if line.strip()), "")
        text = ": ".join(filter(None, [type(error).__name__, first]))
    line = printable(" ".join(text.split()))
    return line if len(line) <= REASON_CHARACTERS else f"{line[: REASON_CHARACTERS - 3]}..."


@contextmanager
def mistakes_raised(command: str, overrides: Sequence[str] = ()) -> Iterator[None]:
    """Turn exceptions that `describe` knows into a ConfigError with that message; errors of gan_lab pass unchanged.

    Args:
        command: The command whose config is composed or used.
        overrides: Its overrides.

    Raises:
        ConfigError: The message.
    """
    try:
        yield
    except (UserError, TrainingError):
        raise
    except Exception as error:
        if sentence := describe(error, command, overrides):
            raise ConfigError(sentence) from error
        raise


@singledispatch
def describe(error: BaseException, command: str, overrides: Sequence[str] = ()) -> str | None:
    """The message for a user error, or None for any other exception.

    Args:
        error: The exception.
        command: The command.
        overrides: Its overrides, from which the keys of its config follow.
    """
    return None


@describe.register(UserError)
@describe.register(TrainingError)
def _(error: Exception, command: str, overrides: Sequence[str] = ()) -> str:
    return str(error)


@describe.register
def _(error: OSError, command: str, overrides: Sequence[str] = ()) -> str | None:
    """Errors of the disk, of permissions, and of the limits of the system."""
    if is_out_of_memory(error) or error.errno == errno.ENOMEM:
        return _memory_message(error)
    if error.errno in _LIMITS:
        return (
            f"The system allows no more open files or processes ({os.strerror(error.errno)}): raise the limit, see "
            "ulimit -n and ulimit -u, or set hardware.num_workers=0."
        )
    if error.errno not in _DISK:
        return None
    if error.errno == errno.ENOENT and not error.filename:
        if "temporary directory" in str(error.strerror):  # of tempfile, which lists the places that it tried
            return f"{error.strerror}: set TMPDIR to a folder that can be written."
        return "The working directory does not exist any more: change to another one."
    file = error.filename2 or error.filename  # of a rename, the second
    unreadable = file is not None and os.path.exists(file) and not os.access(file, os.R_OK)
    return (
        f"{'The run folder or the output' if file is None else file} cannot be {'read' if unreadable else 'written'}: "
        f"{os.strerror(error.errno)}."
    )


@describe.register
def _(error: MemoryError, command: str, overrides: Sequence[str] = ()) -> str:
    return _memory_message(error)


@describe.register
def _(error: RuntimeError, command: str, overrides: Sequence[str] = ()) -> str | None:
    """Memory that ran out; PyTorch's writer hides the error of the disk behind its own."""
    if is_out_of_memory(error):
        return _memory_message(error)
    return (
        describe(error.__context__, command, overrides)
        if isinstance(error.__context__, OSError | RuntimeError)
        else None
    )


@describe.register
def _(error: OverrideParseException, command: str, overrides: Sequence[str] = ()) -> str:
    reason = error.message.partition("\nSee ")[0].splitlines()[-1]
    hint = "" if reason.strip("^ ") == "" else f" ({reason})"
    key, _, value = error.override.partition("=")
    is_text = value != "" and not value.startswith(("[", "{", "'", '"', "${"))  # and no attempt at anything else
    if is_text and re.fullmatch(r"\+{0,2}[\w./@-]+", key):
        advice = f"the value needs quotes inside those of the shell, as in {to_paste(key, value)}"
    else:
        advice = "write key=value, and quotes around a value with special characters"
    return f"{error.override} cannot be read{hint}: {advice}."


@describe.register
def _(error: MissingConfigException, command: str, overrides: Sequence[str] = ()) -> str:
    group, choice = split_choice(str(error.missing_cfg_file))
    return unknown_choice(group, choice, choices(group) or error.options or ())


@describe.register
def _(error: MissingMandatoryValue, command: str, overrides: Sequence[str] = ()) -> str:
    return f"{error.full_key} has no value yet: give one, by adding {error.full_key}=... to this command."


@describe.register(HydraException)
@describe.register(OmegaConfBaseException)
def _(error: Exception, command: str, overrides: Sequence[str] = ()) -> str:
    cause = error.__cause__ or error
    key, reason = getattr(cause, "full_key", None), str(cause).splitlines()[0].rstrip(".")
    text = " ".join(str(error).split())
    if misplaced := re.match(r"In '(\w+)/([\w./-]+)': .* Key '\1' not in", text):
        return (
            f"{misplaced[1]}={misplaced[2]}: the first line of its file must be # @package _global_, and settings must "
            "follow."
        )
    found = re.match("Could not override '([\\w./]+)'", str(error))
    if found or (key and "not in" in reason):
        wrong = found[1] if found else str(key)
        return unknown_key(wrong, _guesses(wrong, _known_keys(command, overrides, wrong)))
    if isinstance(cause, ValidationError) and (sentence := _type_message(str(key), command, overrides)):
        return sentence
    if reason.startswith("Ambiguous value"):
        values = reason.split("'")[1]
        return f"{values} are several values: add -m to run once for each, or write [...] around them for a list."
    return f"{key}: {reason}." if key else f"{text.rstrip('.')}."


@describe.register
def _(error: InterpolationResolutionError, command: str, overrides: Sequence[str] = ()) -> str | None:
    """OmegaConf hides the error of a resolver of gan_lab behind its own."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, UserError):
        cause = cause.__cause__ or cause.__context__
    return str(cause) if cause else describe.dispatch(OmegaConfBaseException)(error, command, overrides)


@describe.register
def _(error: YAMLError, command: str, overrides: Sequence[str] = ()) -> str:
    return f"A config file is not valid YAML: {' '.join(str(error).split())}."


@describe.register
def _(error: UnicodeDecodeError, command: str, overrides: Sequence[str] = ()) -> str | None:
    """The error does not name the file, so it is searched for among the user's."""
    for file in user_files(overrides):
        with suppress(OSError):
            found = read_text(file, errors="surrogateescape").encode(errors="surrogateescape")
            if error.object in found:
                return f"{file} is not a text file in UTF-8: one of its bytes is 0x{error.object[error.start]:02x}."
    return None


@describe.register
def _(error: AssertionError, command: str, overrides: Sequence[str] = ()) -> str | None:
    """OmegaConf's error for a key below one that is null, as extractor.layer=3 without an extractor."""
    if not str(error).startswith("Unexpected type"):
        return None
    for override in overrides:
        key = override.lstrip("+").partition("=")[0]
        parents = [key[: match.start()] for match in re.finditer(r"\.", key)]
        config = _composed(command, overrides, f"{key.partition('.')[0]}.") if parents else None
        for parent in parents:
            if config is not None and OmegaConf.select(config, parent) is None:
                return f"{key} cannot be set, because {parent} is null: choose one with {parent}=... as well."
    return None


def _type_message(key: str, command: str, overrides: Sequence[str]) -> str | None:
    """The message for a value of another type than the schema of the command has at a key; None for other keys."""
    hint: Any = schema.SCHEMAS.get(command)
    key = key.partition("[")[0]  # of an item, that of the list
    for name in key.split("."):
        if not is_dataclass(hint) or (hint := get_type_hints(hint).get(name)) is None:
            return None
    group = f"a group of keys, as in {key}.{fields(hint)[0].name}=VALUE" if is_dataclass(hint) else None
    typed = [override.lstrip("+") for override in overrides if override.lstrip("+").startswith(f"{key}=")]
    return f"{typed[-1] if typed else key} is not allowed: it must be {group or allowed_values(hint)}."


def _memory_message(error: BaseException) -> str:
    found = re.search(r"(tried to allocate|[Uu]nable to allocate) [\d.]+ ?\w+", str(error))
    return (
        f"The memory is too small{f' ({found[0]})' if found else ''}: choose a smaller count, batch size, network or "
        "resolution."
    )


def _guesses(wrong: str, known: list[str]) -> list[str]:
    """Suggested keys: below the wrong key, ending with it, or spelled similarly."""
    known = [key for key in known if key != wrong]
    below = [key for key in known if key.startswith(f"{wrong}/")]
    ending = [key for key in known if key.endswith(f".{wrong}")]
    return below or ending[:2] or difflib.get_close_matches(wrong, known, n=1)


def _known_keys(command: str, overrides: Sequence[str], wrong: str) -> list[str]:
    """Keys and groups of the composed config, without the wrong override."""
    config = _composed(command, overrides, wrong)
    keys = [] if config is None else [key for key, _ in entries(OmegaConf.to_container(config))]
    return [*groups(command), *keys]


def _composed(command: str, overrides: Sequence[str], wrong: str) -> DictConfig | None:
    """The config without the overrides that contain a text; None if there is none."""
    others = [override for override in overrides if wrong not in override]
    try:
        with hydra.initialize_config_dir(str(schema.CONF), version_base="1.3"):
            return hydra.compose(command, overrides=others)
    except Exception:
        return None
