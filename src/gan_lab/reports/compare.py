"""Output files of a comparison: table, curves, a sheet of samples and an HTML page."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from gan_lab.charts.axes import short
from gan_lab.charts.heat_map import Grid, heat_maps
from gan_lab.charts.png import line_charts
from gan_lab.errors import ConfigError
from gan_lab.figures import evenly, read_figure, save_image, sheet
from gan_lab.files import unused_path, write_text
from gan_lab.reports.comparison import Comparison, Group, common_folder, compare
from gan_lab.reports.sweep_page import best_first, write_sweep
from gan_lab.reports.tables import html_table, mean_and_sd
from gan_lab.runs.latest import RUNS, check_directory


@dataclass(frozen=True)
class ComparedRuns:
    """A comparison and its files.

    Attributes:
        comparison: Groups of runs, metrics, differing settings, and runs that were left out.
        folder: Folder of the files.
        files: Names of the files.
    """

    comparison: Comparison
    folder: Path
    files: tuple[str, ...]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A mapping for each run, from which `pandas.DataFrame` makes a table; see `Comparison.rows`."""
        return self.comparison.rows()

    def to_pandas(self) -> Any:
        """The rows as a `pandas.DataFrame`.

        Raises:
            ConfigError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ConfigError("to_pandas needs pandas: pip install pandas, or use rows.") from error
        return pandas.DataFrame(self.rows)

    def _repr_html_(self) -> str:
        """The table of the command, for notebooks."""
        return html_table(self.comparison.table())

    def __str__(self) -> str:
        return f"{self.comparison.text()}\nWritten to {self.folder}: {', '.join(self.files)}."


def compare_runs(
    root: Path | Sequence[Path],
    patterns: Sequence[str],
    columns: int,
    out: Path | None = None,
    heatmap: Sequence[str] | None = None,
    mixed_protocols: bool = False,
) -> ComparedRuns:
    """Compare the runs below a folder; write `comparison.csv` and `.md`, `curves.png`, `sheet.png` and `sweep.html`.

    Args:
        root: A folder that contains run folders, at any depth, or several.
        patterns: Log keys, in which `*` matches anything but `/`.
        columns: Maximum number of figures of one group on the sheet, at least 2.
        out: Output folder; None for `root`, or for several a new folder `comparison` in the one that contains them.
        heatmap: Config keys of the rows and of the columns of `heatmap.png`, which has a panel for each log key.
        mixed_protocols: Compare numbers even if they were measured differently, and only report it.

    Raises:
        ConfigError: The folder does not exist, no log key matches, `columns` is too small, `heatmap` is not two keys
            that distinguish the runs, or the numbers were measured differently.
        DataError: The folder contains no finished run.
    """
    roots = [root] if isinstance(root, Path) else list(root)
    for each in roots:
        check_directory("runs", each, RUNS)
    if columns < 2:
        raise ConfigError(f"columns={columns} is not allowed: it must be at least 2.")
    comparison = compare(roots, patterns)
    if comparison.mixed and not mixed_protocols:
        more = f" (and {len(comparison.mixed) - 1} more)" if len(comparison.mixed) > 1 else ""
        raise ConfigError(
            f"These runs were measured differently: {comparison.mixed[0]}{more}; measure them again with gan-lab "
            "evaluate, leave them out, or compare them anyway with mixed_protocols=true."
        )
    grids = _grids(comparison, heatmap) if heatmap is not None else {}
    common = common_folder(roots)
    folder = out or (common if len(roots) == 1 else unused_path(common / "comparison"))
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "comparison.md", comparison.markdown())
    _write_csv(comparison, folder / "comparison.csv")
    written = ["comparison.md", "comparison.csv"]
    if charts := comparison.charts(best_first(comparison)):  # the order of the page, for the same colors
        save_image(line_charts(charts), folder / "curves.png")
        written.append("curves.png")
    if (samples := _sheet(comparison, columns)) is not None:
        save_image(samples, folder / "sheet.png")
        written.append("sheet.png")
    if grids:
        save_image(heat_maps(grids), folder / "heatmap.png")
        written.append("heatmap.png")
    written.append(write_sweep(comparison, common, folder).name)
    return ComparedRuns(comparison, folder, tuple(written))


def _write_csv(comparison: Comparison, file: Path) -> None:
    """A row for each group and metric: mean and deviation of the finite numbers, and the count of the others."""
    lines = io.StringIO(newline="")
    writer = csv.writer(lines)
    writer.writerow(["group", "metric", "runs", "not_finite", "mean", "sd", "ideal_value", "run_names", "settings"])
    for group in comparison.groups:
        for key in comparison.metrics:
            values = group.finals(key)
            finite = [value for value in values if math.isfinite(value)]
            mean, sd = mean_and_sd(finite) if finite else (None, None)
            if values:
                numbers = [len(values), len(values) - len(finite), mean, sd, comparison.ideal_value(key)]
                writer.writerow([group.name, key, *numbers, "; ".join(group.run_names), group.settings])
    write_text(file, lines.getvalue())


def _grids(comparison: Comparison, keys: Sequence[str]) -> dict[str, Grid]:
    """Mean of each metric over the runs with the same two settings.

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
    """Numbers by size, text alphabetically."""
    try:
        return sorted(values, key=float)
    except ValueError:
        return sorted(values)


def _sheet(comparison: Comparison, columns: int) -> Image.Image | None:
    """Samples of the first run of each group over images seen, and real samples; None without figures."""
    figures = {group.name: group.runs[0].sample_images() for group in comparison.groups}
    longest = max(figures.values(), key=lambda files: max(files, default=-1))
    if not longest:
        return None
    wanted = evenly(list(longest), columns)
    reach = max(longest) / (2 * (len(wanted) - 1)) if len(wanted) > 1 else 0
    rows = []
    for group in comparison.groups:
        files = [_nearest(figures[group.name], images, reach) for images in wanted]
        real = group.runs[0].path / "samples" / "real.png"
        files.append(real if real.is_file() else None)
        lines = dict.fromkeys([group.members, *group.settings.split()])
        rows.append(("\n".join(lines), [None if file is None else read_figure(file) for file in files]))
    return sheet(rows, [*(short(images) for images in wanted), "truth"])


def _nearest(figures: dict[int, Path], images: int, reach: float) -> Path | None:
    """The figure nearest to `images`, if it is within `reach`."""
    distance, file = min(((abs(seen - images), file) for seen, file in figures.items()), default=(0, None))
    return file if distance <= reach else None
