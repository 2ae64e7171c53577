"""Help of a command, from the comments in its files in `conf/`. Light to import: no torch."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from gan_lab.config.groups import choices, groups
from gan_lab.config.schema import CONF
from gan_lab.keys import entries

INTERNAL = ("defaults", "hydra", "trainer", "wrapper")
"""Nodes whose keys are not in the help: parts of Hydra and Lightning, and places that groups fill."""

OF_TRAINING = ("every_images", "times", "max_time_fraction", "best")
"""Keys of `evaluation` that only training uses."""

OF_DATASETS = ("budget_images",)
"""Keys of `dataset` that are in the help of training."""

FLAGS = """\
--cfg job           print the composed config and stop
--info defaults     print which file each part came from and stop
-m                  run once for every combination of a=1,2 b=3,4
--config-dir DIR    a folder with config groups of your own, laid out like these
--hydra-help        all flags"""
"""The last lines of each help."""

WIDTH = 34
"""Width of the column of keys; longer ones have their description on the next line."""


def command_help(command: str, config: Mapping[str, Any]) -> str:
    """Help of a command: the comment at the head of its YAML file, its keys with a line each, its groups, and flags.

    Args:
        command: The command.
        config: Its composed config, which has the values that it would use: a model replaces many of its file. Under
            `hydra`, if that is there, it has the choices.
    """
    file = CONF / f"{command}.yaml"
    lines = file.read_text(encoding="utf-8").splitlines()
    shown = [line[2:] for line in takewhile(lambda line: line.startswith("#"), lines)]
    shown += ["", "Keys (key=value), with the values of this command", "", *_key_lines(command, config)]
    if found := groups(command):
        shown += [
            "",
            "Groups (group=choice), with the choice of this command where there is one",
            "",
            *_group_lines(found, config),
        ]
    return "\n".join([*shown, "", FLAGS])


def described_keys(command: str) -> Iterator[tuple[str, str]]:
    """Each key of a command with its description, in the order of the file."""
    own = list(_entries(CONF / f"{command}.yaml"))
    yield from own
    if command == "bench":
        replaced = {key for key, _ in own}
        yield from (entry for entry in described_keys("train") if entry[0] not in replaced)
    if command == "train":
        yield from _entries_of("dataset", "image_folder", lambda key: key in OF_DATASETS)
    if command in ("train", "evaluate"):
        yield from _entries_of("evaluation", "default", lambda key: command == "train" or key not in OF_TRAINING)


def _entries_of(group: str, choice: str, is_shown: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """Keys of a group, from the file of a choice, with their descriptions."""
    return ((f"{group}.{key}", text) for key, text in _entries(CONF / group / f"{choice}.yaml") if is_shown(key))


def _key_lines(command: str, config: Mapping[str, Any]) -> Iterator[str]:
    values = dict(entries(config))
    for key, text in described_keys(command):
        if key not in values:  # of another data set, or removed
            continue
        value = _as_typed(values[key])
        setting = key if "${" in value else f"{key}={value}"
        if len(setting) > WIDTH - 2:  # two spaces between the columns
            yield setting
            setting = ""
        yield f"{setting:{WIDTH}}{text}".rstrip()


def _group_lines(names: Sequence[str], config: Mapping[str, Any]) -> Iterator[str]:
    chosen = config["hydra"]["runtime"]["choices"] if "hydra" in config else {}
    for group in names:
        setting = f"{group}={_as_typed(chosen[group])}" if group in chosen else group
        yield f"{setting}: {', '.join(choices(group))}"


def _as_typed(value: Any) -> str:
    """A value as it is typed on the command line."""
    if isinstance(value, list):
        return f"[{', '.join(map(_as_typed, value))}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)


def _entries(file: Path) -> Iterator[tuple[str, str]]:
    """Dotted keys and comments of a YAML file, as far as its values are on one line."""
    parents: list[str] = []
    for line in _joined(file.read_text(encoding="utf-8").splitlines()):
        match = re.fullmatch(r"( *)([\w]+):(?: +([^#]*?))?(?: *# *(.*))?", line)
        if match is None:
            continue
        depth, name, value, comment = len(match[1]) // 2, match[2], match[3] or "", match[4] or ""
        parents = [*parents[:depth], name]
        if parents[0] not in INTERNAL and value not in ("", "{}") and not name.startswith("_"):
            yield ".".join(parents), comment


def _joined(lines: Sequence[str]) -> Iterator[str]:
    """The lines, with a comment that continues below joined to the first."""
    held = ""
    for line in lines:
        if re.fullmatch(r" {20,}#.*", line):
            held += " " + line.strip().removeprefix("#").strip()
            continue
        if held:
            yield held
        held = line
    yield held
