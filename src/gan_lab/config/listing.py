"""All runs below a folder, however they ended. Imports torch only to ask a metric whether lower is better."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gan_lab.config.foreign import foreign_config
from gan_lab.config.objective import objective_key, objective_mode
from gan_lab.config.run_folders import FAILED, FINISHED, RUNNING, STOPPED, find_runs, is_dead, read_numbers, read_state
from gan_lab.errors import ConfigError

SILENT_SECONDS = 300
"""A run without `state.json` counts as running if it wrote something so lately."""


@dataclass(frozen=True)
class Listed:
    """A run as `gan-lab list runs` shows it.

    Attributes:
        path: Its folder.
        state: `running`, `finished`, `stopped` or `failed`.
        reason: Why it stopped or failed, where that is known.
        images: Real images seen.
        budget: Length of the run in real images; None where it is not known.
        metric: Log key of the number by which it is judged, and its best value; empty without one.
        age: Seconds since it wrote something.
    """

    path: Path
    state: str
    reason: str
    images: int
    budget: int | None
    metric: str
    age: float

    def progress(self) -> str:
        """Share of the budget, or the images seen where that is not known."""
        return f"{100 * self.images / self.budget:.0f} %" if self.budget else f"{self.images:,}"


def list_runs(root: Path) -> str:
    """A line for each run below a folder, the newest first.

    Raises:
        ConfigError: There is no such folder.
    """
    if not root.is_dir():
        raise ConfigError(f"root={root} is no folder: give one that holds folders of runs.")
    runs = sorted((look(path) for path in find_runs(root)), key=lambda run: run.age)
    table = [["run", "state", "progress", "best", "age", ""]]
    table += [[str(r.path), r.state, r.progress(), r.metric, duration(r.age), r.reason] for r in runs]
    table = [["".join(c for c in " ".join(str(word).split()) if c.isprintable()) for word in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join(lines) if runs else f"There are no runs below {root}."


def look(path: Path) -> Listed:
    """What the files of a run say of it, however far they go. They may be somebody else's: whatever stands there, it is one line."""
    try:
        return _look(path)
    except Exception as error:
        return Listed(path, FAILED, f"unreadable: {' '.join(str(error).split())}", 0, None, "", _age(path))


def _look(path: Path) -> Listed:
    config, numbers, state = _config(path), read_numbers(path), read_state(path)
    seen = max([int(row.get("progress/images_seen", 0)) for row in numbers.rows], default=state.get("images_seen", 0))
    budget = OmegaConf.select(config, "budget.images") or state.get("budget_images")
    if not isinstance(budget, int | None) or not isinstance(seen, int):
        raise ValueError(f"it has {seen} images of {budget}")
    age = _age(path)
    how, reason = _ending(state, seen, budget, age)
    return Listed(path, how, reason, seen, budget, _best(config, numbers.finals, numbers.rows), age)


def _config(path: Path) -> DictConfig:
    file = path / "config.yaml"
    return foreign_config(file.read_text(), file) if file.is_file() else OmegaConf.create({})


def _ending(state: dict[str, Any], seen: int, budget: int | None, age: float) -> tuple[str, str]:
    """The state of a run and the reason for it."""
    told, reason = state.get("state"), state.get("reason") or ""
    if told == RUNNING:
        return (STOPPED, "killed") if is_dead(state) else (RUNNING, reason)
    if told is not None:
        return told, reason
    if budget and seen >= budget:
        return FINISHED, ""
    if age < SILENT_SECONDS:
        return RUNNING, ""
    return (STOPPED, "") if budget else (FAILED, "it was refused, or has not begun")


def _best(config: DictConfig, finals: dict[str, float], rows: list[dict[str, float]]) -> str:
    """The objective of a run with its best number; the last one where nobody says which is better."""
    wanted = OmegaConf.select(config, "objective.metric") or OmegaConf.select(config, "evaluation.best")
    key = objective_key(finals, wanted)
    if key is None:
        return ""
    numbers = [row[key] for row in rows if row.get(key) == row.get(key) and key in row]  # without NaN
    try:
        asked = OmegaConf.merge({"objective": {"metric": wanted, "mode": None}, "evaluation": {"metrics": {}}}, config)
        best = {"min": min, "max": max}[objective_mode(asked)](numbers, default=finals[key])  # type: ignore[arg-type]
    except (ConfigError, ImportError, AttributeError):
        best = finals[key]
    return f"{key} {best:.4g}"


def _age(path: Path) -> float:
    """Seconds since anything in the folder was written."""
    files = [path, *path.glob("*"), *path.glob("checkpoints/*")]
    return max(0.0, time.time() - max(file.stat().st_mtime for file in files if file.exists()))


def duration(seconds: float) -> str:
    """A length of time in its largest unit, as in `3 h`."""
    for unit, size in {"d": 86400, "h": 3600, "min": 60}.items():
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
