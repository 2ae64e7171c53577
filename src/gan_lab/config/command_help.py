"""Help of a command, from the comments in its files in `conf/`. Light to import: no torch."""

import re
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from gan_lab.config.groups import choices, groups
from gan_lab.config.schema import CONF

INTERNAL = ("defaults", "hydra", "trainer", "wrapper")
"""Nodes whose keys are not in the help: parts of Hydra and Lightning, and places that groups fill."""

OF_TRAINING = ("every_images", "times", "max_time_fraction", "best")
"""Keys of `evaluation` that only training uses."""

WIDTH = 34
"""Width of the column of keys; longer ones have their description on the next line."""


def command_help(command: str) -> str:
    """Help of a command: the comment at the head of its YAML file, its keys with a line each, and its groups."""
    file = CONF / f"{command}.yaml"
    lines = file.read_text(encoding="utf-8").splitlines()
    shown = [line[2:] for line in takewhile(lambda line: line.startswith("#"), lines)]
    shown += ["", "Keys (key=value)", "", *_key_lines(command)]
    if found := groups(command):
        shown += ["", "Groups (group=choice)", "", *(f"{group}: {', '.join(choices(group))}" for group in found)]
    return "\n".join([*shown, ""])


def described_keys(command: str) -> Iterator[tuple[str, str, str]]:
    """Each key of a command with its default and its description, in the order of the file."""
    own = list(_entries(CONF / f"{command}.yaml"))
    yield from own
    if command == "bench":
        replaced = {key for key, *_ in own}
        yield from (entry for entry in described_keys("train") if entry[0] not in replaced)
    if command in ("train", "evaluate"):
        for key, default, text in _entries(CONF / "evaluation/default.yaml"):
            if command == "train" or key not in OF_TRAINING:
                yield f"evaluation.{key}", default, text


def _key_lines(command: str) -> Iterator[str]:
    for key, default, text in described_keys(command):
        setting = key if "${" in default else f"{key}={default}"  # Hydra would replace what begins with a dollar sign
        if len(setting) >= WIDTH:
            yield setting
            setting = ""
        yield f"{setting:{WIDTH}}{text}".rstrip()


def _entries(file: Path) -> Iterator[tuple[str, str, str]]:
    """Dotted keys, values and comments of a YAML file, as far as its values are on one line."""
    parents: list[str] = []
    for line in _joined(file.read_text(encoding="utf-8").splitlines()):
        match = re.fullmatch(r"( *)([\w]+):(?: +([^#]*?))?(?: *# *(.*))?", line)
        if match is None:
            continue
        depth, name, value, comment = len(match[1]) // 2, match[2], match[3] or "", match[4] or ""
        parents = [*parents[:depth], name]
        if parents[0] not in INTERNAL and value not in ("", "{}") and not name.startswith("_"):
            yield ".".join(parents), value, comment


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
