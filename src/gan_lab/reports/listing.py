"""List of all runs below a folder. Imports torch only to find out whether a lower metric is better."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_lab.config.untrusted import foreign_config
from gan_lab.durations import duration
from gan_lab.errors import ConfigError
from gan_lab.files import refuse_link_out, refuse_links
from gan_lab.reports.objective import objective_key, objective_mode
from gan_lab.runs.folder import RunFolder
from gan_lab.runs.latest import RUNS, check_directory
from gan_lab.runs.search import find_runs
from gan_lab.runs.state import FAILED


@dataclass(frozen=True)
class ListedRun:
    """A run as `gan-lab runs` shows it.

    Attributes:
        path: Its folder.
        model: Choice of the model; `-` if unknown.
        dataset: Choice of the data set; `-` if unknown.
        seed: Its seed; `-` if unknown.
        state: `running`, `finished`, `stopped` or `failed`.
        reason: Why it stopped or failed, if known.
        images: Real images seen.
        budget: Length of the run in real images; None if unknown.
        metric: Log key of its objective, the best value and where it is from; empty without one.
        seconds: Training time, as in the report of the run.
        age: Seconds since its last write.
        rank: Best value of its objective, negated if higher is better; infinite without one.
    """

    path: Path
    model: str
    dataset: str
    seed: str
    state: str
    reason: str
    images: int
    budget: int | None
    metric: str
    seconds: float
    age: float
    rank: float = math.inf

    def progress(self) -> str:
        """Percentage of the budget, at most 100 %, or the images seen if the budget is unknown."""
        return f"{min(100.0, 100 * self.images / self.budget):.0f} %" if self.budget else f"{self.images:,}"

    def cells(self) -> list[str]:
        """Its row in the table."""
        training = duration(self.seconds) if self.seconds else "-"
        return [
            str(self.path), self.model, self.dataset, self.seed, self.state, self.progress(), training, self.metric,
            f"{duration(self.age)} ago", self.reason,
        ]  # fmt: skip


@dataclass(frozen=True)
class RunList:
    """All runs below a folder, in the chosen order."""

    root: Path
    runs: tuple[ListedRun, ...]
    filter: str | None = None

    def __iter__(self) -> Iterator[ListedRun]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __str__(self) -> str:
        table = [["run", "model", "data set", "seed", "state", "progress", "training", "best", "last write", ""]]
        table += [run.cells() for run in self.runs]
        table = [["".join(c for c in " ".join(str(cell).split()) if c.isprintable()) for cell in row] for row in table]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        which = f" with filter={self.filter}" if self.filter else ""
        return "\n".join(lines) if self.runs else f"There are no runs below {self.root}{which}."


ORDERS: dict[str, Callable[[ListedRun], Any]] = {
    "age": lambda run: run.age,
    "name": lambda run: str(run.path),
    "model": lambda run: (run.model, run.dataset, run.age),
    "dataset": lambda run: (run.dataset, run.model, run.age),
    "seed": lambda run: (len(run.seed), run.seed),
    "state": lambda run: (run.state, run.age),
    "progress": lambda run: -run.images / run.budget if run.budget else 0.0,
    "best": lambda run: (run.metric.partition(" ")[0], run.rank),
}
"""Choices of `sort`, each with the key of a run."""


def list_runs(root: Path, sort: str = "age", text: str | None = None) -> RunList:
    """All runs below a folder, however they ended.

    Args:
        root: The folder.
        sort: Key of `ORDERS`.
        text: Parts, separated by spaces, each of which the name, model, data set or state of a run contains, or which
            is its seed; `model=`, `dataset=`, `seed=` or `state=` with the complete text of that column. None for all.

    Raises:
        ConfigError: `root` is not a directory.
    """
    check_directory("root", root, RUNS)
    runs = (read_listed_run(path, root) for path in find_runs(root))
    wanted = [run for run in runs if run.path.is_dir() and _contains(run, root, text)]  # one may have been removed
    return RunList(root, tuple(sorted(wanted, key=ORDERS[sort])), text)


def _contains(run: ListedRun, root: Path, text: str | None) -> bool:
    name = run.path.name if run.path == root else str(run.path.relative_to(root))
    return all(_matches(run, name, part) for part in (text or "").lower().split())


def _matches(run: ListedRun, name: str, part: str) -> bool:
    """Whether a run, with its name below the listed folder, has a part of a filter; a name may have `=` as well."""
    columns = {"model": run.model, "dataset": run.dataset, "seed": run.seed, "state": run.state}
    key, equals, value = part.partition("=")
    if equals and key in columns:
        return columns[key].lower() == value
    return part == run.seed or any(part in each.lower() for each in (name, run.model, run.dataset, run.state))


def read_listed_run(path: Path, root: Path | None = None) -> ListedRun:
    """Read a run folder, also an incomplete or damaged one; the files of a foreign run never raise an error.

    Args:
        path: The run folder.
        root: The folder that it was found in; None if it was named.
    """
    try:
        refuse_link_out(path, root or path)
        return _read(path)
    except Exception as error:
        reason = f"unreadable: {' '.join(str(error).split())}"
        age = time.time() - path.stat().st_mtime if path.is_dir() else 0.0
        return ListedRun(path, "-", "-", "-", FAILED, reason, 0, None, "", 0.0, age)


def _read(path: Path) -> ListedRun:
    refuse_links(path)
    run = RunFolder(path)
    if run.damage:
        raise ValueError(run.damage[0])
    config = foreign_config(run.text, path / "config.yaml") if run.text else OmegaConf.create({})
    state, reason = run.ending()
    metric, rank = _best(config, run)
    model, dataset = (run.choices.get(group, "-") for group in ("model", "dataset"))
    budget = run.budget or None
    return ListedRun(
        path, model, dataset, run.seed, state, reason, run.images_seen, budget, metric, run.seconds, run.age(), rank
    )


def _best(config: DictConfig, run: RunFolder) -> tuple[str, float]:
    """Log key of the objective with its best number (without a direction, the last) and its origin; and its rank."""
    wanted = OmegaConf.select(config, "objective.metric") or OmegaConf.select(config, "evaluation.best")
    key = objective_key(run.finals, wanted)
    if key is None:
        return "", math.inf
    curve = {seen: value for seen, value in run.curve(key).items() if value == value}  # without NaN
    final = f"{key} {run.finals[key]:.4g} {run.origin(key)}".rstrip()
    try:
        asked = OmegaConf.merge({"objective": {"metric": wanted, "mode": None}, "evaluation": {"metrics": {}}}, config)
        mode = objective_mode(asked)  # type: ignore[arg-type]
    except (ConfigError, ImportError, AttributeError):
        return final, math.inf
    if not curve:  # measured by a command only
        return final, run.finals[key] if mode == "min" else -run.finals[key]
    at = {"min": min, "max": max}[mode](curve, key=lambda seen: curve[seen])
    return f"{key} {curve[at]:.4g} {run.origin(key, at)}".rstrip(), curve[at] if mode == "min" else -curve[at]
