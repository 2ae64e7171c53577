"""Overrides of the original command that `resume=<run folder>` repeats.

The folder may come from another person. So each override is parsed and checked before Hydra reads it: it may choose
files of `conf/` and set values. Overrides that name code, output folders or servers, or that read the environment,
are refused; the user can type them again.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from gan_lab.config.groups import config_folders
from gan_lab.config.notes import NOTES, OF_ONE_COMMAND, first_key, read_overrides
from gan_lab.config.overrides import override, to_paste
from gan_lab.config.schema import CONF
from gan_lab.config.targets import allowing, is_allowed_by_user, shipped_targets
from gan_lab.errors import ConfigError
from gan_lab.keys import entries
from gan_lab.terminal import show

FOLDERS = {
    "folder",
    "dir",
    "dirpath",
    "filename",
    "save_dir",
    "log_dir",
    "root_dir",
    "default_root_dir",
    "config_file",
    "copy_to",
}
"""Arguments for output folders, or for files copied into checkpoints and logs. A run has its own folders."""

DESTINATIONS = {"entity", "model_registry"}
"""Arguments that name the receiver of a run's log."""

OF_LOGGERS = {"project", "name", "group", "tags", "mode", "timeout_seconds", "_target_", "_partial_"}
"""Arguments of loggers that may be repeated. None of them names a server, a key or a folder."""

PATHS = {"initialize"}
"""Keys, and not groups, whose value is a path. A run that resumes does not read it."""

_KEY = re.compile(r"[A-Za-z_][\w-]*([./][\w-]+)*")
_CHOICE = re.compile(r"\w[\w-]*(/\w[\w-]*)*")
_REFERENCE = re.compile(r"\$\{\.*[A-Za-z_]\w*(\.\w+)*\}")
"""A plain `${a.b}`. A reference with a colon calls a resolver, which may read the environment or files."""


def with_overrides_of_run(overrides: Sequence[str]) -> list[str]:
    """With `resume=<run folder>`: the overrides of that run, then the given ones, then its folder.

    Args:
        overrides: Arguments of this command. They replace earlier ones with the same key, also those that are refused.

    Raises:
        ConfigError: An earlier override may not be repeated; names the file and the override.
    """
    typed = {_key(argument): parsed for argument in overrides if (parsed := _parsed(argument)) is not None}
    run = typed["resume"].value() if "resume" in typed and not typed["resume"].is_sweep_override() else None
    if not isinstance(run, str):
        return list(overrides)
    if "initialize" in typed and typed["initialize"].value() is not None:
        raise ConfigError(
            f"initialize= starts a new run, and resume={run} continues one with its own weights: give one of them."
        )
    notes = Path(run) / NOTES
    if not notes.is_file():
        _refuse_run_without_record(Path(run))
        return list(overrides)
    folders = [CONF, *config_folders(overrides)]
    allowed = typed["allow_targets"].value() if "allow_targets" in typed else None
    with allowing(allowed if isinstance(allowed, list) else ()):
        earlier = [argument for argument in _overrides_of(Path(run)) if _is_repeated(argument, typed, folders, notes)]
    folder = [] if typed.keys() & {"run.dir", "run.name", "run.root"} else [override("run.dir", os.path.abspath(run))]
    return [*earlier, *overrides, *folder]


def _refuse_run_without_record(run: Path) -> None:
    """Refuse a run folder whose settings are unknown: those of the defaults would be reported as changed ones.

    Raises:
        ConfigError: It is one.
    """
    file = run / "checkpoints" / "last.ckpt"
    if file.is_file():
        raise ConfigError(
            f"{run} has no {NOTES} with its settings to repeat, such as a run of gan_lab.fit with a config that "
            f"gan_lab.compose did not make: resume it with gan_lab.fit and the same config, or {_without_record(run)}."
        )


def _without_record(run: Path) -> str:
    """How to resume a run whose settings are not repeated, for messages."""
    return f"give {to_paste('run.dir', run)} and all of its settings, which are in config.yaml there, without resume="


def _overrides_of(run: Path) -> list[str]:
    """The overrides in the record of a run folder.

    Raises:
        ConfigError: The file is not a list of overrides.
    """
    overrides = read_overrides(run)
    if not isinstance(overrides, list) or not all(isinstance(argument, str) for argument in overrides):
        raise ConfigError(f"{run / NOTES} cannot be read as a list of overrides: {_without_record(run)}.")
    return overrides


def _is_repeated(argument: str, typed: Mapping[str, Override], folders: Sequence[Path], notes: Path) -> bool:
    """Whether an earlier override is repeated.

    Raises:
        ConfigError: It may not be repeated, and no new one replaces it.
    """
    parsed = _parsed(argument)
    if parsed is None:
        raise _refusal(argument, "it cannot be read as key=value", notes)
    key = parsed.key_or_group
    first = first_key(key)
    if first in OF_ONE_COMMAND:
        if first not in ("run", "resume"):
            show(f"Not repeated from {notes}, since it concerned one command: {_shortened(argument)}", sys.stderr)
        return False
    if first == "budget" and any(other.startswith("budget.") for other in typed):
        return False
    if key in typed and (not parsed.is_add() or typed[key].is_add()):
        return False
    if (problem := _problem(parsed, folders)) is None:
        return True
    if key in typed:
        return False
    raise _refusal(argument, problem, notes)


def _problem(parsed: Override, folders: Sequence[Path]) -> str | None:
    """Why an override of a foreign run may not be repeated; None if it may."""
    key = parsed.key_or_group
    if not _KEY.fullmatch(key):
        return "its key is not a plain name"
    if parsed.package is not None:
        return "it assigns a group to another package"
    if parsed.is_sweep_override():
        return "it has several values"
    value = parsed.value()
    if "." not in key and key not in PATHS and not isinstance(value, dict) and not parsed.is_delete():
        for choice in value if isinstance(value, list) else [value]:
            if (problem := _problem_of_choice(key, choice, folders)) is not None:
                return problem
    for entry, content in entries({key: value}, lists=True):
        if (problem := _problem_of_path(re.split("[./]", entry), content) or _problem_of_text(content)) is not None:
            return problem
    return None


def _problem_of_choice(key: str, choice: Any, folders: Sequence[Path]) -> str | None:
    """To Hydra a choice is a path: only names of existing files are allowed, and none outside the group's folder."""
    if not isinstance(choice, str):
        return None
    homes = [folder / key for folder in folders if (folder / key).is_dir()]
    if not homes:
        return "it names a file" if "/" in choice or ".." in choice else None
    if not _CHOICE.fullmatch(choice) or not any((home / f"{choice}.yaml").is_file() for home in homes):
        return (
            f"conf/{key} and the folders of --config-dir have no such file. If it is in a folder of your own, give "
            "--config-dir as before"
        )
    return None


def _problem_of_path(path: Sequence[str], value: Any) -> str | None:
    first, last = path[0], path[-1]
    if first == "hydra":
        return "Hydra's own settings are read from the command line only"
    if "allow_targets" in path:
        return "allow_targets is read from the command line only"
    if "defaults" in path:
        return "it names files"
    special = [part for part in path if re.fullmatch("_.*_", part)]
    if special and special not in (["_target_"], ["_partial_"]):
        return f"{special[0]} is not allowed here"
    if special and special != [last]:
        return f"{special[0]} must be a name"
    if last == "_target_" and not (
        isinstance(value, str) and (value in shipped_targets() or is_allowed_by_user(value))
    ):
        return "no file in conf/ names this target, and allow_targets does not allow it"
    if value is not None and FOLDERS & set(path):
        return "the folders of a run are its own"
    if DESTINATIONS & set(path) or (first == "logger" and len(path) > 2 and path[2] not in OF_LOGGERS):
        return "it sets where a log is sent or stored"
    if not all(re.fullmatch(r"[\w./ -]*", part) for part in path):
        return "its key is not a plain name"
    return None


def _problem_of_text(value: Any) -> str | None:
    """References to other keys are allowed; no other `$` or brace, which could form a reference after joining."""
    if isinstance(value, str) and re.search("[${}]", _REFERENCE.sub("", value)):
        return "it is more than a plain reference such as ${a.b}"
    return None


def _parsed(argument: str) -> Override | None:
    """An override as parsed by Hydra; None for flags and for what Hydra will refuse."""
    if argument.startswith("-"):
        return None
    try:
        return OverridesParser.create().parse_override(argument)
    except (HydraException, ValueError, RecursionError):
        return None


def _key(argument: str) -> str:
    return argument.partition("=")[0].lstrip("+~")


def _refusal(argument: str, problem: str, notes: Path) -> ConfigError:
    key = _key(argument).partition("@")[0]
    return ConfigError(
        f"{notes} has {_shortened(argument)}, which is not repeated: {problem}. "
        f"Type {key}=... on the command line to set it yourself."
    )


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}..."
