"""`sweep.html`: page of a comparison, the best group first, with links to the reports of the runs."""

import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from gan_lab.charts.palette import LINE_COLORS
from gan_lab.config.targets import find_target
from gan_lab.errors import ConfigError
from gan_lab.keys import leaves
from gan_lab.metrics.naming import higher_is_better, metric_of_key
from gan_lab.pages.coordinates import parallel_coordinates
from gan_lab.pages.embedding import embedded
from gan_lab.pages.line_chart import line_chart
from gan_lab.pages.rendering import write_page
from gan_lab.reports.comparison import (
    DIFFERS,
    MOST_DIFFERENCES,
    PERFECT,
    Comparison,
    Group,
    distinguishing_keys,
    heading,
)
from gan_lab.reports.run_page import REPORT
from gan_lab.reports.tables import cell, mean_and_sd, upright
from gan_lab.runs.folder import RunFolder
from gan_lab.runs.training_keys import is_of_training

SWEEP = "sweep.html"

MOST_SETTINGS, MOST_RESULTS = 6, 4
"""Axes of the parallel coordinates."""

MOST_FIGURES, FIGURE_SIZE = 24, 300
"""Maximum number of groups with samples, and of a figure's width or height in pixels."""


def write_sweep(comparison: Comparison, root: Path, folder: Path) -> Path:
    """Write the page of a comparison into `folder`; `root` is the folder of the runs. Returns the file."""
    file = folder / SWEEP
    write_page(file, "sweep.html", _facts(comparison, root, folder))
    return file


def _facts(comparison: Comparison, root: Path, folder: Path) -> dict[str, Any]:
    """Variables of the template."""
    head = comparison.metrics[0]
    higher = is_higher_better(comparison.groups[0].runs[0], head)
    groups = best_first(comparison)
    runs = sum(len(group.runs) for group in groups)
    ideals = [comparison.ideal_value(key) for key in comparison.metrics]
    return {
        "name": f"Comparison of {root.resolve().name}",
        "headline": f"{runs} runs in {len(groups)} groups; {len(comparison.refused)} left out.",
        "remarks": [remark for remark in comparison.remarks() if not remark.startswith("Left out")],
        "images_first": not comparison.is_evaluated,
        "columns": ["runs", DIFFERS, *map(heading, comparison.metrics)],
        "sorted_by": heading(head) if higher is not None else "",
        "direction": "descending" if higher else "ascending",
        "rows": [_row(group, groups, comparison, folder) for group in groups],
        "ideal_values": [PERFECT, "", *("" if f is None else f"{f:.4g}" for f in ideals)]
        if any(f is not None for f in ideals)
        else [],
        "note": "" if higher is None else f"The best first, by {heading(head)}.",
        "coordinates": _coordinates(groups, comparison.metrics),
        "charts": _charts(groups, comparison),
        "figures": _figures(groups, head),
        "failed": [_refused(root, folder, path, reason) for path, reason in comparison.refused.items()],
        "differing": upright(comparison.differing),
        "many_differences": len(comparison.differing) > MOST_DIFFERENCES,
        "written": time.strftime("%Y-%m-%d %H:%M"),
    }


def is_higher_better(run: RunFolder, key: str) -> bool | None:
    """Whether a higher number of a log key is better, as declared by gan_lab's metric; None if unknown."""
    targets = {}
    for setting, target in leaves(run.config):
        parts = setting.split(".")
        # Only gan_lab's own metrics are imported, since the folder may come from another person.
        if (
            parts[:2] == ["evaluation", "metrics"]
            and parts[3:] == ["_target_"]
            and str(target).startswith("gan_lab.metrics.")
        ):
            targets[parts[2]] = target
    name = metric_of_key(key, targets)
    if name is None:
        return None
    try:
        return higher_is_better(key, find_target(targets[name], name))
    except ConfigError:
        return None


def _mean(group: Group, key: str) -> float | None:
    """Mean over the runs with a finite number."""
    finite = [value for value in group.finals(key) if math.isfinite(value)]
    return mean_and_sd(finite)[0] if finite else None


def best_first(comparison: Comparison) -> list[Group]:
    """Groups sorted by the first metric, then the next ones; metrics without a known direction are skipped."""
    groups, keys = comparison.groups, comparison.metrics
    directions = [(key, higher) for key in keys if (higher := is_higher_better(groups[0].runs[0], key)) is not None]

    def rank(group: Group) -> list[tuple[bool, float]]:
        means = [(_mean(group, key), higher) for key, higher in directions]
        return [(mean is None, 0.0 if mean is None else -mean if higher else mean) for mean, higher in means]

    return sorted(groups, key=rank)


def best_run(comparison: Comparison) -> Path | None:
    """Folder of the first run of the best group; None if no metric has a known direction."""
    head = comparison.groups[0].runs[0]
    ranked = any(is_higher_better(head, key) is not None for key in comparison.metrics)
    return best_first(comparison)[0].runs[0].path if ranked else None


def _row(group: Group, groups: Sequence[Group], comparison: Comparison, folder: Path) -> dict[str, Any]:
    cells = [_cell(group.members, group.members), _cell(group.settings, group.settings)]
    for key in comparison.metrics:
        mean = _mean(group, key)
        higher = is_higher_better(group.runs[0], key)
        means = [other for each in groups if (other := _mean(each, key)) is not None]
        best = mean is not None and higher is not None and len(groups) > 1 and mean == (max if higher else min)(means)
        cells.append(_cell(cell(group.finals(key)), mean, best))
    links = [_link(run.path, folder, f"seed {run.seed}") for run in group.runs]
    return {"color": groups.index(group) % LINE_COLORS, "cells": cells, "links": links}


def _cell(text: str, value: str | float | None, best: bool = False) -> dict[str, Any]:
    return {"text": text, "sort": "" if value is None else value, "number": not isinstance(value, str), "best": best}


def _link(run: Path, folder: Path, text: str) -> dict[str, str]:
    """Link to a run's report, relative to the page; empty without a report."""
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
        rows[group.name] = {key: head.setting(key) for key in settings} | {heading(k): v for k, v in numbers.items()}
    return parallel_coordinates(rows, [*settings, *map(heading, results)], heading(results[0]))


def swept_keys(groups: Sequence[Group]) -> list[str]:
    """Overrides that differ between the groups; else the fewest keys that distinguish them."""
    runs = [run for group in groups for run in group.runs]
    typed = dict.fromkeys(key for run in runs for key in run.typed if is_of_training(key))
    swept = [key for key in typed if len({group.runs[0].setting(key) for group in groups}) > 1]
    return swept or distinguishing_keys([group.runs[0] for group in groups], runs)


def _charts(groups: Sequence[Group], comparison: Comparison) -> list[Markup]:
    """Curves of means over seeds, for as many groups as there are colors."""
    note = f"The first {LINE_COLORS} groups of the leaderboard." if len(groups) > LINE_COLORS else ""
    charts = comparison.charts(groups[:LINE_COLORS], note)
    names = [group.name for group in groups]
    alone = len(charts) % 2
    return [line_chart(chart, names, wide=bool(alone) and chart is charts[-1]) for chart in charts]


def _figures(groups: Sequence[Group], key: str) -> list[dict[str, Any]]:
    """The newest samples of the first run of each group, and real ones."""
    found = [
        (_newest(group.runs[0]), f"{group.name} ({heading(key)} {cell(group.finals(key)) or 'not measured'})")
        for group in groups[:MOST_FIGURES]
    ]
    found.append((groups[0].runs[0].path / "samples/real.png", "real"))
    colors = [*range(len(found) - 1), None]  # none for the real images
    figures = [
        {
            "image": embedded(file, FIGURE_SIZE, text),
            "caption": text,
            "color": None if color is None else color % LINE_COLORS,
        }
        for (file, text), color in zip(found, colors, strict=True)
        if file is not None
    ]
    return [figure for figure in figures if figure["image"]]


def _newest(run: RunFolder) -> Path | None:
    figures = run.sample_images()
    return figures[max(figures)] if figures else None
