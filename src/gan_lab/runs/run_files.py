"""Files of a run folder as plain data; what is missing is empty, and what is damaged is noted."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import yaml

from gan_lab.errors import DataError
from gan_lab.files import read_text
from gan_lab.metrics.protocol import Measurement
from gan_lab.runs.plain_yaml import parse_yaml

Row = dict[str, float]
"""Values of one row of the log, by log key."""

MAX_COLUMNS = 2_000
"""Most columns of a log that are read: runs log some dozens of values."""


class RunFiles:
    """Reader of the files of one run folder.

    Args:
        path: The folder.

    Attributes:
        damage: A message for each file that cannot be read or is invalid, of those that were read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: list[str] = []

    def text(self, name: str) -> str:
        """Contents of a regular file; empty if it is missing, unreadable or too large."""
        try:
            return read_text(self.path / name)
        except FileNotFoundError:
            return ""
        except OSError as error:
            self.damage.append(f"{name} cannot be read: {error.strerror}")
            return ""

    def lines(self, name: str) -> list[dict[str, str]]:
        """Lines of a CSV file by column, without empty cells and without an incomplete last line."""
        lines = self.text(name).splitlines(keepends=True)
        if lines and lines[0].count(",") >= MAX_COLUMNS:
            self.damage.append(
                f"{name} has {lines[0].count(',') + 1:,} columns, more than the limit of {MAX_COLUMNS:,}"
            )
            return []
        found = []
        try:
            for row in csv.DictReader(lines if lines and lines[-1].endswith("\n") else lines[:-1]):
                found.append({key: text for key, text in row.items() if key and isinstance(text, str) and text})
        except csv.Error as error:  # for example a field of more than 131,072 characters
            self.damage.append(f"{name} is damaged after {len(found):,} rows: {error}")
        return found

    def parsed(self, name: str) -> Any:
        """Contents of a YAML or JSON file; None if it is missing or damaged."""
        text = self.text(name)
        try:
            return (json.loads(text) if name.endswith(".json") else parse_yaml(text)) if text else None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            self.damage.append(f"{name}: {' '.join(str(error).split())}")
            return None

    def mapping(self, name: str) -> dict[str, Any]:
        """Contents of a YAML or JSON file that is a mapping; empty if it is missing, damaged or not one."""
        found = self.parsed(name)
        if not isinstance(found, dict | None):
            self.damage.append(f"{name} is not a mapping")
        return mapping_of(found)

    def measurements(self, records: dict[str, Any], name: str) -> dict[str, Measurement]:
        """Valid measurements of a file; invalid ones are added to `damage`."""
        found = {}
        for key, record in records.items():
            try:
                found[key] = Measurement.from_json(record, f"{key} of {name}")
            except DataError as error:
                self.damage.append(str(error).rstrip("."))
        return found

    def rows(self, name: str) -> list[Row]:
        """Rows of a log that have images seen, without cells that are empty or not numbers."""
        rows = []
        for texts in self.lines(name):
            invalid = {key: text for key, text in texts.items() if number_of(text) is None}
            self.damage += [f"{name} has {key}={text}, which is not a number" for key, text in invalid.items()]
            row = {key: float(text) for key, text in texts.items() if key not in invalid}
            if math.isfinite(row.get("progress/images_seen", math.nan)):
                rows.append(row)
        return rows


def json_of(text: str) -> Any:
    """The value of a JSON text; None if it is not valid."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def mapping_of(value: Any) -> dict[str, Any]:
    """A value that is a mapping; empty for another one."""
    return value if isinstance(value, dict) else {}


def number_of(text: Any) -> float | None:
    """The number that a text has; None if it has none."""
    try:
        return float(text) if isinstance(text, str) and text else None
    except ValueError:
        return None
