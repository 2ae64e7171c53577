"""What a finished run left in its folder, read without building anything."""

import csv
import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from gan_lab.errors import DataError

Settings = dict[str, str]
"""Values of a config by dotted key, as text."""

ASIDE = ("run.", "logger.", "callbacks.progress.", "allow_targets")
"""Beginnings of keys that say where a run is kept and shown, and change nothing in it."""


RUNNING, FINISHED, STOPPED, FAILED = "running", "finished", "stopped", "failed"
"""What a run may be, as `state.json` says."""


class UnusableRun(DataError):
    """A folder of a run that has no final numbers; the message says why."""


@dataclass(frozen=True)
class RunFolder:
    """A run that reached its budget.

    Attributes:
        path: Its folder.
        settings: The resolved config without the seed and without where the run is kept.
        seed: The seed of the run.
        choices: The groups that were chosen, where the run came from the command line.
        typed: Keys that were typed on the command line to what was typed.
        records: `results.json`: for each log key its value, floor and protocol.
        rows: `metrics.csv`: numbers by log key, without empty places.
    """

    path: Path
    settings: Settings
    seed: str
    choices: Settings
    typed: Settings
    records: dict[str, dict[str, Any]]
    rows: list[dict[str, float]]

    def setting(self, key: str) -> str:
        """What a key or a group was set to, `-` where there is none such."""
        return self.choices.get(key) or self.settings.get(key) or self.typed.get(key) or "-"

    @cached_property
    def finals(self) -> dict[str, float]:
        """The last number of every log key, from `results.json` where that has it."""
        return _finals(self.rows, self.records)

    def curve(self, key: str) -> dict[float, float]:
        """Numbers of a log key by images seen."""
        return {row["progress/images_seen"]: row[key] for row in self.rows if key in row}

    def pictures(self) -> dict[int, Path]:
        """Pictures of the averaged generator by images seen."""
        return {int(file.stem.rpartition("_")[2]): file for file in sorted(self.path.glob("samples/ema_*.png"))}


def find_runs(folder: Path) -> list[Path]:
    """Folders of runs in or below `folder`, in the order of their numbers or names; those of jobs that never began, too."""
    if (folder / "config.yaml").is_file() or (folder / ".hydra").is_dir():
        return [folder]
    children = [child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")]
    ordered = sorted(
        children, key=lambda child: (len(child.name), child.name) if child.name.isdigit() else (0, child.name)
    )
    return [run for child in ordered for run in find_runs(child)]


def read_run(path: Path) -> RunFolder:
    """Read the folder of a run.

    Raises:
        UnusableRun: It has no config or no numbers, or ended before its budget.
    """
    state = read_state(path)
    because = (
        f"; it {state['state']}: {state['reason']}"
        if state.get("state") in (FAILED, STOPPED) and state.get("reason")
        else ""
    )
    config = _yaml(path / "config.yaml")
    if not isinstance(config, dict):
        raise UnusableRun(f"it has no config.yaml: it was refused, or has not begun{because}")
    rows = _rows(path / "metrics.csv")
    if not rows:
        raise UnusableRun(f"it has no numbers in metrics.csv: it failed, or has just begun{because}")
    seen = max(row.get("progress/images_seen", 0.0) for row in rows)
    budget = (config.get("budget") or {}).get("images") or 0
    if seen < budget:
        raise UnusableRun(f"it ended, or is, at {seen:,.0f} of {budget:,} images{because}")
    folder = str((config.get("run") or {}).get("dir"))
    flat = dict(_leaves(config))
    settings = {key: value for key, value in flat.items() if not _is_aside(key) and folder not in value}
    return RunFolder(path, settings, flat.get("seed", "-"), *_from_hydra(path / ".hydra"), _records(path), rows)


def read_state(path: Path) -> dict[str, Any]:
    """`state.json` of the folder of a run: `state`, `reason`, `images_seen`, `budget_images`, `time`, `host`, `process`, as
    far as the run told; empty without one."""
    file = path / "state.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def states_since(root: Path, start: float) -> dict[Path, dict[str, Any]]:
    """What the runs in or below a folder say of themselves, by folder, that have written it since `start`, in seconds since
    the epoch."""
    files = {run: run / "state.json" for run in find_runs(root)}
    # Clocks of file systems are coarse.
    return {run: read_state(run) for run, file in files.items() if file.is_file() and file.stat().st_mtime >= start - 1}


def is_dead(state: Mapping[str, Any]) -> bool:
    """Whether the process of a run is one of this machine that is no more; of other machines' nobody knows."""
    if state.get("host") != socket.gethostname() or "process" not in state:
        return False
    try:
        os.kill(state["process"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


@dataclass(frozen=True)
class Numbers:
    """What a run has logged, however far it is.

    Attributes:
        rows: `metrics.csv`: numbers by log key, without empty places.
        finals: The last number of every log key; those of `results.json` come first.
    """

    rows: list[dict[str, float]]
    finals: dict[str, float]


def read_numbers(path: Path) -> Numbers:
    """The numbers in the folder of a run; none where there are no files."""
    rows, records = _rows(path / "metrics.csv"), _records(path)
    finals = _finals(rows, records)
    return Numbers(rows, {key: finals[key] for key in [*records, *(key for key in finals if key not in records)]})


def _finals(rows: list[dict[str, float]], records: dict[str, dict[str, Any]]) -> dict[str, float]:
    last = {key: value for row in rows for key, value in row.items()}
    # JSON has no NaN: null stands for it.
    return last | {k: float("nan") if r["value"] is None else r["value"] for k, r in records.items()}


def choices_of(path: Path) -> Settings:
    """The groups that were chosen for the run in a folder; empty where it did not come from the command line."""
    try:
        return _from_hydra(path / ".hydra")[0]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, OSError):
        return {}


def _is_aside(key: str) -> bool:
    return key.startswith(ASIDE) or key.rpartition(".")[2] == "seed"


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", "null" if value is None else str(value)


def _from_hydra(folder: Path) -> tuple[Settings, Settings]:
    """The groups that were chosen and the words that were typed, as far as Hydra left a note of them."""
    notes = _yaml(folder / "hydra.yaml")
    choices = notes["hydra"]["runtime"]["choices"] if isinstance(notes, dict) else {}
    words = [word.lstrip("+~").partition("=") for word in _yaml(folder / "overrides.yaml") or []]
    return (
        {group: str(choice) for group, choice in choices.items() if choice and not group.startswith("hydra/")},
        {key: value for key, _, value in words if not key.startswith("hydra.")},
    )


def _yaml(file: Path) -> Any:
    return yaml.safe_load(file.read_text()) if file.is_file() else None


def _rows(file: Path) -> list[dict[str, float]]:
    if not file.is_file():
        return []
    with file.open(newline="") as lines:
        return [{key: float(value) for key, value in row.items() if key and value} for row in csv.DictReader(lines)]


def _records(path: Path) -> dict[str, dict[str, Any]]:
    file = path / "results.json"
    return json.loads(file.read_text()) if file.is_file() else {}
