"""Config groups and their choices, from the files in `conf/`. Light to import: no torch."""

import re
import shlex
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from functools import cache
from itertools import pairwise
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from gan_lab.config.known_keys import unknown_key
from gan_lab.config.schema import CONF
from gan_lab.errors import ConfigError, unknown_choice


def groups(command: str = "train") -> list[str]:
    """Config groups of a command, such as `loss` or `wrapper/generator`: those in the defaults list of its file."""
    return sorted(default_choices(command))


@cache
def default_choices(command: str) -> dict[str, object]:
    """Default of each config group of a command: a choice, a list of them, or None."""
    entries = yaml.safe_load((CONF / f"{command}.yaml").read_text(encoding="utf-8"))["defaults"]
    of_train = default_choices("train") if "train" in entries else {}
    own = {
        key.removeprefix("optional "): choice
        for each in entries if isinstance(each, dict)
        for key, choice in each.items() if not key.startswith("override ")
    }  # fmt: skip
    return {group: choice for group, choice in (of_train | own).items() if group != "local"}


SEARCHED = r"file://([^],'\"]+)"
"""A folder in the value of `hydra.searchpath`."""

_user_folders: ContextVar[tuple[Path, ...]] = ContextVar("_user_folders", default=())


def use_config_folders(arguments: Sequence[str]) -> None:
    """Let `choices` also search the folders of the flags `--config-dir` and `-cd` of a command line, from now on."""
    _user_folders.set(tuple(config_folders(arguments)))


def config_folders(arguments: Sequence[str]) -> list[Path]:
    """The folders of the flags `--config-dir` and `-cd`, with the value behind `=` or in the next argument."""
    folders = []
    for argument, following in pairwise([*arguments, ""]):
        flag, equals, value = argument.partition("=")
        if flag in ("--config-dir", "-cd") and (equals or following):
            folders.append(Path(value if equals else following))
    return folders


def flags_of_config_folders() -> str:
    """The flags `--config-dir` of this command for another one in a message, each with a space behind it."""
    return "".join(f"--config-dir {shlex.quote(str(folder))} " for folder in _user_folders.get())


def user_files(overrides: Sequence[str]) -> list[Path]:
    """The config files in the user's folders, also in those of `hydra.searchpath` in the overrides."""
    searched = [path for each in overrides if "hydra.searchpath=" in each for path in re.findall(SEARCHED, each)]
    return [file for folder in (*_user_folders.get(), *map(Path, searched)) for file in folder.rglob("*.yaml")]


def choices(group: str) -> dict[str, Path]:
    """Choices of a group and their files, also of the user's folders; those in a subfolder are named as `ring/gan`."""
    folders = [CONF / group, *(folder / group for folder in _user_folders.get())]
    return {
        file.relative_to(folder).with_suffix("").as_posix(): file
        for folder in folders
        for file in sorted(folder.rglob("*.yaml"))
    }


def check_choices(command: str, overrides: Sequence[str]) -> None:
    """Refuse values of groups that cannot name a choice, such as `loss=null`: Hydra does not name the wrong group.

    Also lists that name one twice.

    Raises:
        ConfigError: Names the group and its choices.
    """
    known = set(groups(command))
    for override in _parsed(overrides):
        group = override.key_or_group
        if below := [name for name in known if name.startswith(f"{group}/") and group not in known]:
            raise ConfigError(unknown_key(group, sorted(below)))
        if group not in known or override.is_delete() or override.is_sweep_override():
            continue
        value = override.value()
        if isinstance(value, dict):  # merged into the choice
            if default_choices(command)[group] is None and not _is_chosen(group, overrides):
                raise ConfigError(
                    f"{override.input_line} is not allowed: choose one by name, from {', '.join(choices(group))}."
                )
            continue
        names = value if isinstance(value, list) else [value]
        if not all(isinstance(name, str) and name for name in names):
            default = default_choices(command)[group]
            none = ["[]"] if value is None and isinstance(default, list) else []
            message = unknown_choice(group, override.get_value_string(), [*choices(group), *none])
            raise ConfigError(f"{message} ~{group} chooses none." if value is None and default is None else message)
        if repeated := [name for name in names if names.count(name) > 1]:  # Hydra would merge the two into one
            raise ConfigError(
                f"{override.input_line} is not allowed: it must name {repeated[0]} once, since it is applied once."
            )


def with_dataset_keys(command: str, overrides: Sequence[str]) -> list[str]:
    """The overrides, with `+` before keys of a data set that is not chosen: they replace those of the run's data set.

    Only for commands without a default data set: `dataset.source=elsewhere` of `gan-lab evaluate`.
    """
    if default_choices(command).get("dataset", "") is not None or _is_chosen("dataset", overrides):
        return list(overrides)
    return [f"+{each}" if each.startswith("dataset.") else each for each in overrides]


def split_choice(path: str) -> tuple[str, str]:
    """Group and choice of a config file that Hydra cannot find: `experiment/ring/gan` is `ring/gan` of `experiment`."""
    group = max((group for group in groups() if path.startswith(f"{group}/")), key=len, default=path.rpartition("/")[0])
    return group, path.removeprefix(f"{group}/")


def _is_chosen(group: str, overrides: Sequence[str]) -> bool:
    """Whether one of the overrides chooses a file of the group."""
    return any(each.key_or_group == group and isinstance(each.value(), str) for each in _parsed(overrides))


def _parsed(overrides: Sequence[str]) -> Iterable[Override]:
    """Overrides that Hydra can parse; it reports the others itself."""
    parser = OverridesParser.create()
    for override in overrides:
        try:
            yield parser.parse_override(override)
        except HydraException:
            continue
