"""`sweep.html`: compared runs on one page, the best first, with the way to the report of each."""

import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from gan_lab.config.comparing import PERFECT, Comparison, Group, Table, cell, mean_and_sd, telling_keys
from gan_lab.config.run_folders import RunFolder
from gan_lab.config.run_report import REPORT
from gan_lab.config.targets import find_target
from gan_lab.errors import ConfigError
from gan_lab.pages.coordinates import parallel_coordinates
from gan_lab.pages.embedding import embedded
from gan_lab.pages.line_chart import COLOURS, line_chart
from gan_lab.pages.rendering import write_page

SWEEP = "sweep.html"

MOST_SETTINGS, MOST_RESULTS = 6, 4
"""Axes of the parallel coordinates."""

MOST_PICTURES, PICTURE_SIDE = 24, 300
"""Groups whose samples are shown, and the largest side of a picture, in pixels."""


def write_sweep(comparison: Comparison, root: Path, folder: Path) -> Path:
    """Write the page of a comparison into `folder`; `root` is the folder of the runs. Returns where it is."""
    file = folder / SWEEP
    write_page(file, "sweep.html", _facts(comparison, root, folder))
    return file


def _facts(comparison: Comparison, root: Path, folder: Path) -> dict[str, Any]:
    """Everything that the template asks for."""
    head = comparison.metrics[0]
    higher = higher_is_better(comparison.groups[0].runs[0], head)
    groups = _best_first(comparison.groups, comparison.metrics)
    runs = sum(len(group.runs) for group in groups)
    floors = [comparison.floor(key) for key in comparison.metrics]
    return {
        "name": f"Comparison of {root.resolve().name}",
        "headline": f"{runs} runs in {len(groups)} groups; {len(comparison.refused)} left out.",
        "remarks": [remark for remark in comparison.remarks() if not remark.startswith("Left out")],
        "columns": ["group", "runs", *map(_shown, comparison.metrics)],
        "sorted_by": _shown(head) if higher is not None else "",
        "direction": "descending" if higher else "ascending",
        "rows": [_row(group, groups, comparison, folder) for group in groups],
        "floor": [PERFECT, "", *("" if f is None else f"{f:.4g}" for f in floors)]
        if any(f is not None for f in floors)
        else [],
        "note": "" if higher is None else f"The best first, by {_shown(head)}.",
        "coordinates": _coordinates(groups, comparison.metrics),
        "charts": _charts(groups, comparison),
        "pictures": _pictures(groups, head),
        "failed": [_refused(root, folder, path, reason) for path, reason in comparison.refused.items()],
        "differing": _upright(comparison.differing),
        "written": time.strftime("%Y-%m-%d %H:%M"),
    }


def higher_is_better(run: RunFolder, key: str) -> bool | None:
    """Whether more is better in a log key, as the metric says that the run measured it by; None where none is known."""
    name = key.removeprefix("eval/raw/").removeprefix("eval/")
    owners = {}
    for setting, target in run.settings.items():
        words = setting.split(".")
        # Nothing but our own metrics is imported, whatever stands in a folder that somebody sent.
        if (
            words[:2] == ["evaluation", "metrics"]
            and words[3:] == ["_target_"]
            and target.startswith("gan_lab.metrics.")
        ):
            owners[words[2]] = target
    fitting = [owner for owner in owners if name.startswith(f"{owner}_")]
    if not fitting or not key.startswith("eval/"):
        return None
    owner = max(fitting, key=len)
    try:
        metric = find_target(owners[owner], owner)  # a run folder may be somebody else's: nothing is imported unasked
    except ConfigError:
        return None
    lower = any(name.startswith(f"{owner}_{part}_") for part in getattr(metric, "lower_is_better", ()))
    higher = getattr(metric, "higher_is_better", None)
    return higher if higher is None else higher and not lower


def _mean(group: Group, key: str) -> float | None:
    """The mean over the runs with a finite number."""
    finite = [value for value in group.finals(key) if math.isfinite(value)]
    return mean_and_sd(finite)[0] if finite else None


def _best_first(groups: Sequence[Group], keys: Sequence[str]) -> list[Group]:
    """By the first key, then the next ones; keys of which nobody knows what is better are passed over."""
    judged = [(key, higher) for key in keys if (higher := higher_is_better(groups[0].runs[0], key)) is not None]

    def rank(group: Group) -> list[tuple[bool, float]]:
        means = [(_mean(group, key), higher) for key, higher in judged]
        return [(mean is None, 0.0 if mean is None else -mean if higher else mean) for mean, higher in means]

    return sorted(groups, key=rank)


def _shown(key: str) -> str:
    """A log key as a heading."""
    return key.removeprefix("eval/")


def _row(group: Group, groups: Sequence[Group], comparison: Comparison, folder: Path) -> dict[str, Any]:
    cells = [_cell(group.name, group.name), _cell(str(len(group.runs)), len(group.runs))]
    for key in comparison.metrics:
        mean = _mean(group, key)
        higher = higher_is_better(group.runs[0], key)
        means = [other for each in groups if (other := _mean(each, key)) is not None]
        best = mean is not None and higher is not None and len(groups) > 1 and mean == (max if higher else min)(means)
        cells.append(_cell(cell(group.finals(key)), mean, best))
    return {"cells": cells, "links": [_link(run.path, folder, f"seed {run.seed}") for run in group.runs]}


def _cell(text: str, value: str | float | None, best: bool = False) -> dict[str, Any]:
    return {"text": text, "sort": "" if value is None else value, "number": not isinstance(value, str), "best": best}


def _link(run: Path, folder: Path, text: str) -> dict[str, str]:
    """The address of a run's report as it is from the page; none where there is no report."""
    report = run / REPORT
    return {"text": text, "href": quote(os.path.relpath(report, folder)) if report.is_file() else ""}


def _refused(root: Path, folder: Path, path: str, reason: str) -> dict[str, str]:
    link = _link(root / path, folder, path)
    return {"name": path, "href": link["href"], "reason": reason}


def _coordinates(groups: Sequence[Group], metrics: Sequence[str]) -> Markup:
    heads = [group.runs[0] for group in groups]
    settings = swept_keys(groups)[:MOST_SETTINGS]
    results = ([key for key in metrics if key.startswith("eval/")] or list(metrics))[:MOST_RESULTS]
    if len(groups) < 2 or not settings:
        return Markup("")
    rows = {}
    for group, head in zip(groups, heads, strict=True):
        means = {key: _mean(group, key) for key in results}
        numbers = {key: "" if mean is None else f"{mean:.6g}" for key, mean in means.items()}
        rows[group.name] = {key: head.setting(key) for key in settings} | {_shown(k): v for k, v in numbers.items()}
    return parallel_coordinates(rows, [*settings, *map(_shown, results)], _shown(results[0]))


def _upright(table: Table) -> Table:
    """The table with the shorter side across."""
    return table if len(table[0]) <= len(table) else [list(column) for column in zip(*table, strict=True)]


def swept_keys(groups: Sequence[Group]) -> list[str]:
    """What was typed and is not the same in all groups; else the fewest keys that tell them apart."""
    runs = [run for group in groups for run in group.runs]
    typed = dict.fromkeys(
        key for run in runs for key in run.typed if key != "seed" and not key.startswith(("run.", "logger"))
    )
    swept = [key for key in typed if len({group.runs[0].setting(key) for group in groups}) > 1]
    return swept or telling_keys([group.runs[0] for group in groups], runs)


def _charts(groups: Sequence[Group], comparison: Comparison) -> list[Markup]:
    """Means over seeds of as many groups as there are colours."""
    charts = []
    for key in comparison.metrics:
        curves = {group.name: group.curve(key) for group in groups[:COLOURS]}
        lines = {name: list(zip(line.x, line.mean, strict=True)) for name, line in curves.items()}
        if any(len(points) > 1 for points in lines.values()):
            floor = comparison.floor(key)
            note = f"The first {COLOURS} groups of the leaderboard." if len(groups) > COLOURS else ""
            charts.append(line_chart(_shown(key), lines, note=note, levels={} if floor is None else {PERFECT: floor}))
    return charts


def _pictures(groups: Sequence[Group], key: str) -> list[dict[str, Any]]:
    """The newest samples of the first run of each group, and real ones."""
    found = [
        (_newest(group.runs[0]), f"{group.name} ({_shown(key)} {cell(group.finals(key)) or 'not measured'})")
        for group in groups[:MOST_PICTURES]
    ]
    found.append((groups[0].runs[0].path / "samples/real.png", "real"))
    pictures = [
        {"image": embedded(file, PICTURE_SIDE, text), "caption": text} for file, text in found if file is not None
    ]
    return [picture for picture in pictures if picture["image"]]


def _newest(run: RunFolder) -> Path | None:
    pictures = run.pictures()
    return pictures[max(pictures)] if pictures else None
