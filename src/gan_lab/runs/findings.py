"""Findings about a trained network: tables and figures of commands such as probe, kept in the run folder.

A finding is the folder `inside/<name>` with its figures and `finding.json`; the report of the run shows all of them.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gan_lab.files import read_text, write_text

FOLDER, FILE = "inside", "finding.json"

_NAME = re.compile(r"[\w.+-]+\.(png|gif|jpg)", re.ASCII)
"""Name of a figure's file: never a path."""


@dataclass(frozen=True)
class Figure:
    """A figure of a finding.

    Attributes:
        file: Name of the file in the folder of the finding.
        caption: What it shows.
    """

    file: str
    caption: str


@dataclass(frozen=True)
class Finding:
    """What a command found out about a network.

    Attributes:
        title: Heading.
        table: Rows of text, the first of them the header; empty for none.
        protocol: How it was measured, in one sentence.
        notes: What a reader must know to interpret it, in sentences.
        figures: Its figures.
        command: The command line that makes it again.
    """

    title: str
    table: list[list[str]] = field(default_factory=list)
    protocol: str = ""
    notes: list[str] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def write_finding(folder: Path, finding: Finding) -> Path:
    """Write `finding.json` into a folder, which has the figures; returns the file."""
    file = folder / FILE
    write_text(file, json.dumps(asdict(finding), indent=2) + "\n")
    return file


def read_finding(file: Path) -> Finding | None:
    """The finding in a file of an untrusted run folder, as plain text; None if it is missing or damaged."""
    try:
        found = json.loads(read_text(file))
        table = [_texts(row) for row in found["table"]]
        if any(len(row) != len(table[0]) for row in table):
            return None
        figures = [Figure(str(each["file"]), str(each["caption"])) for each in found["figures"]]
        if not all(_NAME.fullmatch(each.file) for each in figures):
            return None
        texts = {name: _texts(found[name]) for name in ("notes", "command")}
        return Finding(str(found["title"]), table, str(found["protocol"]), figures=figures, **texts)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _texts(values: Sequence[Any]) -> list[str]:
    if not isinstance(values, list):
        raise TypeError
    return [str(value) for value in values]
