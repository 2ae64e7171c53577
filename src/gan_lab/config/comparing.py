"""Runs side by side: a table over seeds, curves, and a sheet of samples."""

import csv
import logging
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml
from PIL import Image

from gan_lab.charts import GREY, Grid, Line, heat_maps, line_charts, short
from gan_lab.config.run_folders import RunFolder, UnusableRun, find_runs, read_run
from gan_lab.errors import ConfigError, DataError
from gan_lab.pictures import evenly, sheet

log = logging.getLogger(__name__)

NO_RESULT = ("eval/seconds",)
"""Keys that belong to `eval/` and say nothing of the samples."""

PROTOCOL_FREE = ("value", "floor", "weights", "seed", "images_seen")
"""Entries of a record in `results.json` that may differ between runs that are compared."""

PERFECT = "(perfect sampler)"
"""Name of the floor in tables and legends."""

Table = list[list[str]]


@dataclass(frozen=True)
class Group:
    """Runs that differ in the seed only. `name` says what sets them apart from the other groups."""

    name: str
    runs: list[RunFolder]

    def finals(self, key: str) -> list[float]:
        """Last numbers of a log key, one for each run that has it."""
        return [run.finals[key] for run in self.runs if key in run.finals]

    def curve(self, key: str) -> Line:
        """Mean over the runs, and the standard deviation around it, wherever all runs have a number."""
        curves = [curve for run in self.runs if (curve := run.curve(key))]
        shared = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
        stats = [mean_and_sd([curve[x] for curve in curves]) for x in shared]
        means = [mean for mean, _ in stats]
        return Line(shared, means, [m - (sd or 0) for m, sd in stats], [m + (sd or 0) for m, sd in stats])


@dataclass(frozen=True)
class Comparison:
    """What was found in a folder of runs.

    Attributes:
        groups: Runs by what they have in common, in the order of their folders.
        metrics: Log keys that are compared.
        refused: Folders that cannot be compared, and why.
        differing: Config keys whose values are not the same in all groups; keys that follow each other are one row.
        without: Names of runs without `results.json`, while others have one.
        mixed: For each way in which the numbers were not measured alike, what is how in which runs.
    """

    groups: list[Group]
    metrics: list[str]
    refused: dict[str, str]
    differing: Table
    without: list[str]
    mixed: list[str]

    def table(self) -> Table:
        """A row for each group, with mean ± standard deviation over seeds, and one for a perfect sampler."""
        rows = [
            [group.name, str(len(group.runs)), *(cell(group.finals(key)) for key in self.metrics)]
            for group in self.groups
        ]
        floors = ["" if (floor := self.floor(key)) is None else f"{floor:.4g}" for key in self.metrics]
        return [["group", "runs", *self.metrics], *rows, *([[PERFECT, "", *floors]] if any(floors) else [])]

    def floor(self, key: str) -> float | None:
        """What a perfect sampler gets, if the first run that knows says so."""
        floors = (run.records[key].get("floor") for group in self.groups for run in group.runs if key in run.records)
        return next((floor for floor in floors if floor is not None), None)

    def text(self) -> str:
        """What the command prints: the table, what could not be compared, and what was not measured alike."""
        return "\n".join([*aligned(self.table()), *self.remarks()])

    def remarks(self) -> list[str]:
        """A sentence for everything that a reader of the table must know."""
        left_out = [f"Left out: {path}: {reason}." for path, reason in self.refused.items()]
        if self.without:
            left_out.append(f"Without results.json, so from the end of metrics.csv: {', '.join(self.without)}.")
        return [*left_out, *(f"Not measured alike: {difference}." for difference in self.mixed)]

    def markdown(self) -> str:
        """The same as text with the config keys that differ, as a document."""
        parts = ["# Comparison", "\n".join(aligned(self.table())), "Mean ± standard deviation over seeds."]
        parts += ["\n".join(f"- {remark}" for remark in remarks)] if (remarks := self.remarks()) else []
        parts += ["## What differs", "\n".join(aligned(self.differing))] if len(self.differing) > 1 else []
        return "\n\n".join(parts) + "\n"


def compare_runs(
    root: Path,
    patterns: Sequence[str],
    columns: int,
    out: Path | None = None,
    heatmap: Sequence[str] | None = None,
    mixed_protocols: bool = False,
) -> str:
    """Compare the runs below a folder, and write `comparison.csv`, `comparison.md`, `curves.png`, `sheet.png` and `sweep.html`.

    Args:
        root: A folder that holds folders of runs, at any depth.
        patterns: Log keys, in which `*` stands for anything but `/`.
        columns: Most pictures of one group on the sheet, at least 2.
        out: Where the files go; None for `root`.
        heatmap: Two config keys for `heatmap.png`, which has a panel for each log key: of its rows and of its columns.
        mixed_protocols: Compare numbers even if they were not measured alike, and only say so.

    Returns:
        What to print.

    Raises:
        ConfigError: There is no such folder, no log key fits, `columns` is too small, `heatmap` is not two keys that
            tell the runs apart, or the numbers were not measured alike.
        DataError: The folder holds no finished run.
    """
    if not root.is_dir():
        raise ConfigError(f"runs={root} is no folder: give one that holds folders of runs.")
    if columns < 2:
        raise ConfigError(f"columns={columns} is not allowed: it must be at least 2.")
    comparison = compare(root, patterns)
    if comparison.mixed and not mixed_protocols:
        more = f" (and {len(comparison.mixed) - 1} more)" if len(comparison.mixed) > 1 else ""
        raise ConfigError(
            f"These runs were not measured alike: {comparison.mixed[0]}{more}; measure them anew with gan-lab evaluate, leave "
            "them out, or compare them all the same with mixed_protocols=true."
        )
    from gan_lab.config.sweep_report import write_sweep  # it draws what this file finds

    grids = _grids(comparison, heatmap) if heatmap is not None else {}
    folder = out or root
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "comparison.md").write_text(comparison.markdown())
    _write_csv(comparison, folder / "comparison.csv")
    written = ["comparison.md", "comparison.csv"]
    if panels := _panels(comparison):
        line_charts(panels).save(folder / "curves.png")
        written.append("curves.png")
    if (samples := _sheet(comparison, columns)) is not None:
        samples.save(folder / "sheet.png")
        written.append("sheet.png")
    if grids:
        heat_maps(grids).save(folder / "heatmap.png")
        written.append("heatmap.png")
    written.append(write_sweep(comparison, root, folder).name)
    return f"{comparison.text()}\nWritten to {folder}: {', '.join(written)}."


def newest_sweep(root: Path) -> Path:
    """The newest folder in `root`/multirun.

    Raises:
        ConfigError: There is none.
    """
    sweeps = [folder for folder in (root / "multirun").glob("*") if folder.is_dir()]
    if not sweeps:
        raise ConfigError(f"runs=latest finds no sweep in {root}/multirun: make one with -m, or give runs=<folder>.")
    return max(sweeps, key=lambda folder: folder.stat().st_mtime)


def compare(root: Path, patterns: Sequence[str]) -> Comparison:
    """Read all runs below a folder and put together those that differ in the seed only.

    Raises:
        ConfigError: No log key of the runs fits the patterns.
        DataError: The folder holds no finished run.
    """
    runs, refused = [], {}
    for path in find_runs(root):
        try:
            runs.append(read_run(path))
        except Exception as error:  # whatever is in a folder that may be somebody else's, the others are compared
            known = isinstance(error, (UnusableRun, yaml.YAMLError, ValueError, OSError))
            told = str(error) if known else f"it is unreadable: {type(error).__name__} {error}"
            refused[str(path.relative_to(root))] = " ".join(told.split()).rstrip(".")
    if not runs:
        reasons = "".join(f" ({path}: {reason})" for path, reason in list(refused.items())[:1])
        raise DataError(f"{root} holds no finished run{reasons}: give a folder with runs of gan-lab train in it.")
    groups, metrics = grouped(runs), _chosen(runs, patterns)
    without = [run.path.name for run in runs if not run.records]
    return Comparison(
        groups, metrics, refused, _differing(groups), without if len(without) < len(runs) else [], _mixed(runs, metrics)
    )


def grouped(runs: Sequence[RunFolder]) -> list[Group]:
    """Runs with the same settings together, each group named by the fewest keys that tell it from all others, or by its folder."""
    same: dict[frozenset[tuple[str, str]], list[RunFolder]] = defaultdict(list)
    for run in runs:
        same[frozenset(run.settings.items())].append(run)
    members = list(same.values())
    folders = {run.path.name for run in runs}
    if (
        len(runs) > 1
        and len(folders) == len(members) == len(runs)
        and not any(run.typed or run.choices for run in runs)
    ):
        # Runs that were made in Python: nobody typed what tells them apart, but somebody named them.
        return [Group(each[0].path.name, each) for each in members]
    keys = telling_keys([each[0] for each in members], runs)
    return [Group(_name(each[0], keys), each) for each in members]


def telling_keys(heads: Sequence[RunFolder], runs: Sequence[RunFolder]) -> list[str]:
    """Keys that tell all of `heads` apart: those that a user typed if they do, then groups, then any, shallow ones first."""
    typed = [key for run in runs for key in run.typed if key != "seed" and not key.startswith(("run.", "logger"))]
    groups = [key for run in runs for key in run.choices]
    settings = sorted((key for run in runs for key in run.settings), key=lambda key: key.count("."))
    chosen: list[str] = []
    for key in dict.fromkeys([*typed, *groups, *settings]):
        kinds = len({_values(head, chosen) for head in heads})
        if kinds == len(heads):
            break
        if len({_values(head, [*chosen, key]) for head in heads}) > kinds:
            chosen.append(key)
    return chosen


def _values(run: RunFolder, keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(run.setting(key) for key in keys)


def _name(run: RunFolder, keys: Sequence[str]) -> str:
    return " ".join(f"{key}={run.setting(key)}" for key in keys) or "all"


def _differing(groups: Sequence[Group]) -> Table:
    """Config keys with more than one value over the groups. Of keys whose values are the same everywhere, the shallowest."""
    heads = [group.runs[0] for group in groups]
    keys = sorted({key for head in heads for key in head.settings}, key=lambda key: (key.count("."), key))
    columns: dict[tuple[str, ...], str] = {}
    for key in keys:
        values = tuple(head.settings.get(key, "-") for head in heads)
        if len(set(values)) > 1:
            columns.setdefault(values, key)
    return [["key", *(group.name for group in groups)], *([key, *values] for values, key in columns.items())]


def _chosen(runs: Sequence[RunFolder], patterns: Sequence[str]) -> list[str]:
    known = list(dict.fromkeys(key for run in runs for key in [*run.records, *sorted(run.finals)]))
    chosen = [
        key
        for pattern in patterns
        for key in known
        if PurePosixPath(key).match(pattern) and (key not in NO_RESULT or key == pattern)
    ]
    if not chosen:
        raise ConfigError(f"show={list(patterns)} is in none of these runs: they have {', '.join(known)}.")
    return list(dict.fromkeys(chosen))


def _mixed(runs: Sequence[RunFolder], metrics: Sequence[str]) -> list[str]:
    """What differs in how these log keys were measured, where records say how."""
    differences: dict[tuple[str, str], list[str]] = defaultdict(list)  # entry and its values, to the keys
    for key in metrics:
        measured = [(run.path.name, run.records[key]) for run in runs if key in run.records]
        for entry in dict.fromkeys(entry for _, record in measured for entry in record):
            values: dict[str, list[str]] = defaultdict(list)
            for name, record in measured:
                values[str(record.get(entry, "not told"))].append(name)
            if entry not in PROTOCOL_FREE and len(values) > 1:
                kinds = " and ".join(f"{value} in {_few(names)}" for value, names in values.items())
                differences[entry, kinds].append(key)
    return [f"{entry} of {_few(keys)} is {kinds}" for (entry, kinds), keys in differences.items()]


def _few(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    return ", ".join([*names[:3], *([f"{len(names) - 3} more"] if len(names) > 3 else [])])


def mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation (of a sample: n - 1) of at least one number; None for the deviation of one."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, None
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))  # also of NaN


def cell(values: Sequence[float]) -> str:
    """Numbers of several runs as `mean ± sd` with four digits; those that are not finite are counted beside it."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "nan" if values else ""
    mean, sd = mean_and_sd(finite)
    text = f"{mean:.4g}" if sd is None else f"{mean:.4g} ± {sd:.2g}"
    return text if len(finite) == len(values) else f"{text} ({len(values) - len(finite)} nan)"


def aligned(table: Table) -> list[str]:
    """A table as lines of Markdown that is also readable as it is; the first row is the header."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "| " + " | ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)) + " |" for row in table
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def _write_csv(comparison: Comparison, file: Path) -> None:
    """A line for each group and metric; mean and deviation are over the finite numbers, and `not_finite` counts the rest."""
    with file.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["group", "metric", "runs", "not_finite", "mean", "sd", "floor"])
        for group in comparison.groups:
            for key in comparison.metrics:
                values = group.finals(key)
                finite = [value for value in values if math.isfinite(value)]
                mean, sd = mean_and_sd(finite) if finite else (None, None)
                if values:
                    lost = len(values) - len(finite)
                    writer.writerow([group.name, key, len(values), lost, mean, sd, comparison.floor(key)])


def _panels(comparison: Comparison) -> dict[str, dict[str, Line]]:
    """Curves by metric and group, of the metrics that a run has more than one number of."""
    panels = {}
    for key in comparison.metrics:
        lines = {group.name: group.curve(key) for group in comparison.groups}
        ends = [line.x[-1] for line in lines.values() if len(line.x) > 1]
        if ends and (floor := comparison.floor(key)) is not None:
            lines = {PERFECT: Line([0, max(ends)], [floor] * 2, [floor] * 2, [floor] * 2, GREY)} | lines
        if ends:
            panels[key] = lines
    return panels


def _grids(comparison: Comparison, keys: Sequence[str]) -> dict[str, Grid]:
    """The mean of each metric over all runs that have the same two settings.

    Raises:
        ConfigError: These are not two keys with more than one value each.
    """
    if len(keys) != 2:
        raise ConfigError(f"heatmap={list(keys)} is not allowed: give two config keys, as in [loss.alpha,loss.beta].")
    runs = [run for group in comparison.groups for run in group.runs]
    rows, columns = (_ordered({run.setting(key) for run in runs}) for key in keys)
    for key, values in zip(keys, (rows, columns), strict=True):
        if len(values) < 2:
            raise ConfigError(f"heatmap={list(keys)} cannot be drawn: {key} is {values[0]} in all of these runs.")

    def mean(metric: str, row: str, column: str) -> float | None:
        cell = [run for run in runs if (run.setting(keys[0]), run.setting(keys[1])) == (row, column)]
        finite = [value for value in Group("", cell).finals(metric) if math.isfinite(value)]
        return mean_and_sd(finite)[0] if finite else None

    return {
        metric: Grid(rows, columns, [[mean(metric, row, column) for column in columns] for row in rows], *keys)
        for metric in comparison.metrics
    }


def _ordered(values: set[str]) -> list[str]:
    """Numbers by size, words by the alphabet."""
    try:
        return sorted(values, key=float)
    except ValueError:
        return sorted(values)


def _sheet(comparison: Comparison, columns: int) -> Image.Image | None:
    """Samples of the first run of each group over images seen, and the truth; None without pictures."""
    pictures = {group.name: group.runs[0].pictures() for group in comparison.groups}
    longest = max(pictures.values(), key=lambda files: max(files, default=-1))
    if not longest:
        return None
    wanted = evenly(list(longest), columns)
    reach = max(longest) / (2 * (len(wanted) - 1)) if len(wanted) > 1 else 0
    rows = []
    for group in comparison.groups:
        files = [_nearest(pictures[group.name], images, reach) for images in wanted]
        real = group.runs[0].path / "samples" / "real.png"
        files.append(real if real.is_file() else None)
        rows.append((group.name.replace(" ", "\n"), [None if file is None else Image.open(file) for file in files]))
    return sheet(rows, [*(short(images) for images in wanted), "truth"])


def _nearest(pictures: dict[int, Path], images: int, reach: float) -> Path | None:
    """The picture that is nearest to `images`, if it is no further than `reach`."""
    distance, file = min(((abs(seen - images), file) for seen, file in pictures.items()), default=(0, None))
    return file if distance <= reach else None
