"""Truncation curve of a checkpoint: fidelity against diversity over thresholds (Brock et al., 2019, section 3.1)."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from gan_lab.charts.line_chart import Line, LineChart
from gan_lab.charts.png import line_charts
from gan_lab.figures import draw_samples, extent_of, save_image, strip
from gan_lab.files import write_text
from gan_lab.metrics.protocol import Measurement, common_entries, format_entries
from gan_lab.reports.tables import aligned

AXES = (("recall", "precision"), ("coverage", "density"), ("fid", "score_inception"), ("fd", "score_inception"))
"""Parts of log keys whose numbers are plotted as x and y: diversity, or a distance, against fidelity."""

_GRID_SIZE = 240  # pixels, of a grid in the figure


@dataclass(frozen=True)
class CurvePoint:
    """Numbers at one threshold of the latents; None without truncation."""

    threshold: float | None
    records: dict[str, Measurement]

    @property
    def name(self) -> str:
        return "none" if self.threshold is None else f"{self.threshold:g}"

    def value(self, key: str) -> float:
        """A number; NaN where it is not finite."""
        return self.records[key].value


@dataclass(frozen=True)
class TruncationCurve:
    """Numbers over thresholds of the latents.

    Attributes:
        points: One for each threshold, ascending; the one without truncation, if there is one, at the end.
        folder: Holds `truncation.json`, `truncation.csv`, `truncation.png` and `truncation_samples.png`.
    """

    points: tuple[CurvePoint, ...]
    folder: Path

    def __str__(self) -> str:
        written = "truncation.json, truncation.csv, truncation.png, truncation_samples.png"
        return "\n".join(
            [*aligned(_table(self.points)), _protocol(self.points), f"Written to {self.folder}: {written}."]
        )


def write_curve(points: Sequence[CurvePoint], samples: Sequence[Tensor], folder: Path) -> TruncationCurve:
    """Write the table, the chart and the sample grids.

    Args:
        points: The numbers at each threshold.
        samples: For each point samples (n, C, H, W) or (n, 2) of the same latents.
        folder: Created if it does not exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_numbers(points, folder)
    save_image(_chart(points), folder / "truncation.png")
    save_image(_grids(points, samples), folder / "truncation_samples.png")
    return TruncationCurve(tuple(points), folder)


def _keys(points: Sequence[CurvePoint]) -> list[str]:
    return list(points[0].records)


def _table(points: Sequence[CurvePoint]) -> list[list[str]]:
    """A row for each threshold, a column for each number."""
    keys = _keys(points)
    return [["threshold", *keys], *([point.name, *(f"{point.value(key):.5g}" for key in keys)] for point in points)]


def _write_numbers(points: Sequence[CurvePoint], folder: Path) -> None:
    record = [
        {"threshold": point.threshold, "metrics": {key: each.to_json() for key, each in point.records.items()}}
        for point in points
    ]
    write_text(folder / "truncation.json", json.dumps(record, indent=2) + "\n")
    lines = io.StringIO(newline="")
    csv.writer(lines).writerows(_table(points))
    write_text(folder / "truncation.csv", lines.getvalue())


def _protocol(points: Sequence[CurvePoint]) -> str:
    """The entries that the protocols of all numbers have in common."""
    protocols = [measurement.protocol for point in points for measurement in point.records.values()]
    first = protocols[0]  # these entries are None in the point without truncation
    form = {"truncation_form": first.truncation_form, "truncation_cutoff": first.truncation_cutoff}
    return f"Protocol: {format_entries(common_entries(protocols) | form)}."


def _chart(points: Sequence[CurvePoint]) -> Image.Image:
    """Each number over the thresholds, with a dashed line at its value without truncation, and pairs of numbers."""
    truncated = [point for point in points if point.threshold is not None]
    plain = [point for point in points if point.threshold is None]
    thresholds = [float(point.name) for point in truncated]
    charts = []
    for key in _keys(points):
        line = Line(thresholds, [point.value(key) for point in truncated])
        levels = {"no truncation": plain[0].value(key)} if plain else {}
        charts.append(LineChart(f"{key} over the threshold", {"truncated": line}, levels=levels))
    for x, y in chart_pairs(_keys(points)):
        curves = {"truncated": Line([point.value(x) for point in points], [point.value(y) for point in points])}
        if plain:
            curves["no truncation (dot)"] = Line([plain[0].value(x)], [plain[0].value(y)])
        charts.append(LineChart(f"{y} over {x}", curves))
    return line_charts(charts)


def chart_pairs(keys: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of measured keys that are plotted as x and y, by `AXES`."""
    found = [[next((key for key in keys if f"_{part}_" in f"_{key}_"), None) for part in pair] for pair in AXES]
    return [(x, y) for x, y in found if x is not None and y is not None]


def _grids(points: Sequence[CurvePoint], samples: Sequence[Tensor]) -> Image.Image:
    """The same latents under each threshold; 2-D points all at the scale of the last threshold."""
    extent = extent_of(samples[-1]) if samples[-1].dim() == 2 else None
    return strip([draw_samples(each, extent=extent) for each in samples], [point.name for point in points], _GRID_SIZE)
