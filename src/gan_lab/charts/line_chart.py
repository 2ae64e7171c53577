"""Layout of line charts as a list of marks in pixels, which the SVG and PNG backends draw."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from gan_lab.charts.axes import Axis, short, value_axis
from gan_lab.charts.palette import LINE_COLORS

LEFT, RIGHT, TOP, BOTTOM = 58, 18, 10, 28
"""Margins around the axes, in pixels."""

LETTER = 9
"""Width of a letter of a label in pixels, of the largest font that pages use."""

MOST_POINTS = 400
"""Largest number of points of a line; longer lines are averaged."""

TOOLTIPS = 40
"""Largest number of points of a line with tooltips."""

NOISY = 120
"""Number of points above which a line is drawn faint, under its running mean."""

Point = tuple[float, float]
Row = tuple[float, float, float, float]  # x, y, low, high


@dataclass(frozen=True)
class Line:
    """Values over images seen, or over another non-negative number. Values that are not finite are omitted.

    Args:
        x: Ascending.
        y: Values, as many as `x`.
        low: Lower end of a band around the line; None for no band.
        high: Upper end of the band.
    """

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None

    def rows(self) -> list[Row]:
        """(x, y, low, high) of the points at which all four are finite; without a band, low and high are y."""
        low, high = (self.y if end is None else end for end in (self.low, self.high))
        rows = zip(self.x, self.y, low, high, strict=True)
        return [row for row in rows if all(map(math.isfinite, row))]


@dataclass(frozen=True)
class LineChart:
    """Chart with one line per name. The value axis is logarithmic for wide ranges.

    Args:
        title: Title above the chart.
        lines: Lines by name.
        note: Text below the title.
        levels: Dashed horizontal lines by name, such as ideal values; those not finite are omitted, and one far
            from the lines is only in the legend.
        zero_to_one: Whether the value axis is always from 0 to 1.
        exact: Draw all values: no running mean, a linear axis, no clamping.
        end: Smallest upper end of the horizontal axis, which aligns the charts of a run.
    """

    title: str
    lines: Mapping[str, Line]
    note: str = ""
    levels: Mapping[str, float] = field(default_factory=dict)
    zero_to_one: bool = False
    exact: bool = False
    end: float = 0


@dataclass(frozen=True)
class Segment:
    """Straight line: a "rule" of an axis, or a dashed "level"."""

    start: Point
    end: Point
    style: str
    tooltip: str = ""


@dataclass(frozen=True)
class Curve:
    """ "faint" or "strong" line through points, or outline of a filled "band"."""

    points: Sequence[Point]
    style: str
    color: int


@dataclass(frozen=True)
class Dot:
    """ "lone" point, or invisible disc with a "tooltip"."""

    center: Point
    radius: float
    style: str
    color: int
    tooltip: str


@dataclass(frozen=True)
class Label:
    """Text whose baseline has its start, middle or end at a point."""

    at: Point
    text: str
    anchor: str


Mark = Segment | Curve | Dot | Label


@dataclass(frozen=True)
class Key:
    """Entry of the legend: `c0` to `c9` or "level", a name, and the last value or None."""

    style: str
    name: str
    value: float | None


@dataclass(frozen=True)
class Drawing:
    """Layout of a chart in pixels.

    Args:
        width: Width of the area of the marks.
        height: Height of the area of the marks.
        remarks: Text below the title.
        marks: Marks from back to front; empty if no value is finite.
        legend: Entries of the lines, then of the levels.
    """

    width: int
    height: int
    remarks: str
    marks: Sequence[Mark]
    legend: Sequence[Key]


def draw(chart: LineChart, width: int = 560, height: int = 250, names: Sequence[str] | None = None) -> Drawing:
    """Compute the layout of a chart.

    Args:
        chart: Chart to draw.
        width: Width in pixels.
        height: Height in pixels, without title, remarks and legend.
        names: Names of the lines of several charts, for equal colors in all; None for those of this chart.
    """
    order = list(chart.lines if names is None else names)
    colors = {name: order.index(name) % LINE_COLORS for name in chart.lines}
    rows = {name: line.rows() for name, line in chart.lines.items()}
    levels = {name: level for name, level in chart.levels.items() if math.isfinite(level)}
    shown = [row for each in rows.values() for row in each]
    lost = sum(len(line.x) for line in chart.lines.values()) - len(shown)
    if not shown:
        return Drawing(width, height, f"{chart.note} No finite value of {lost}.".strip(), [], [])
    x = Axis(0, max(max(row[0] for row in shown), chart.end, 1), LEFT, width - RIGHT)
    values = [row[1] for row in shown]
    edges = (height - BOTTOM, TOP)
    y = (
        Axis(0, 1, *edges)
        if chart.zero_to_one
        else value_axis(values, _band_ends(shown), list(levels.values()), chart.exact, *edges)
    )
    cut = sum(not y.low <= value <= y.high for value in values)
    remarks = [chart.note, "Logarithmic." if y.logarithmic else ""]
    remarks += [f"{cut} of {len(shown)} values are beyond the axis." if cut else ""]
    remarks += [f"{lost} values are not finite." if lost else ""]
    marks = _rules(x, y, width)
    inside = {name: level for name, level in levels.items() if y.low <= level <= y.high}
    for name, level in inside.items():
        marks.append(Segment((x.start, y(level)), (x.end, y(level)), "level", f"{name}: {level:.4g}"))
    for name, each in rows.items():
        marks += _line(name, each, colors[name], x, y, chart.exact) if each else []
    legend = [Key(f"c{colors[name]}", name, each[-1][1] if each else None) for name, each in rows.items()]
    legend += [
        Key("level", name if name in inside else f"{name} (outside of the chart)", level)
        for name, level in levels.items()
    ]
    return Drawing(width, height, " ".join(filter(None, remarks)), marks, legend)


def _band_ends(rows: Sequence[Row]) -> list[float]:
    return [end for _, _, low, high in rows if low < high for end in (low, high)]


def _rules(x: Axis, y: Axis, width: int) -> list[Mark]:
    marks: list[Mark] = []
    for value in y.ticks():
        marks.append(Segment((x.start, y(value)), (x.end, y(value)), "rule"))
        marks.append(Label((x.start - 6, y(value) + 4), f"{value:.4g}" if value else "0", "end"))
    for value in x.ticks():
        marks.append(Segment((x(value), y.start), (x(value), y.start + 4), "rule"))
        room = LETTER * len(short(value)) / 2  # the last label would else be cut at the edge of the chart
        marks.append(Label((min(x(value), width - room), y.start + 18), short(value), "middle"))
    return marks


def _line(name: str, rows: Sequence[Row], color: int, x: Axis, y: Axis, exact: bool) -> list[Mark]:
    drawn = _thinned(rows, MOST_POINTS)
    noisy = len(rows) > NOISY and not exact
    strong = _smooth(drawn) if noisy else drawn
    marks: list[Mark] = []
    if len(strong) > 1 and _band_ends(strong):
        outline = [(row[0], row[2]) for row in strong] + [(row[0], row[3]) for row in reversed(strong)]
        marks.append(Curve([(x(px), y(py)) for px, py in outline], "band", color))
    if noisy:
        marks.append(Curve([(x(row[0]), y(row[1])) for row in drawn], "faint", color))
    marks.append(Curve([(x(row[0]), y(row[1])) for row in strong], "strong", color))
    style, radius = ("lone", 3) if len(rows) == 1 else ("tooltip", 6)
    for px, py, *_ in _thinned(strong, TOOLTIPS):
        marks.append(Dot((x(px), y(py)), radius, style, color, f"{name}: {py:.4g} at {px:,.0f} images"))
    return marks


def _thinned(rows: Sequence[Row], most: int) -> list[Row]:
    """At most `most` rows: means of consecutive rows, but the unchanged first and last row."""
    if len(rows) <= most:
        return list(rows)
    edges = [round(k * len(rows) / (most - 2)) for k in range(most - 1)]
    middle = [_mean(rows[start:end]) for start, end in pairwise(edges)]
    return [rows[0], *middle, rows[-1]]


def _smooth(rows: Sequence[Row]) -> list[Row]:
    """Running means over a fifteenth of the rows, over fewer near the ends."""
    reach = len(rows) // 30
    smooth = []
    for k, (px, *_) in enumerate(rows):
        near = min(reach, k, len(rows) - 1 - k)
        _, py, low, high = _mean(rows[k - near : k + near + 1])
        smooth.append((px, py, low, high))
    return smooth


def _mean(rows: Sequence[Row]) -> Row:
    x, y, low, high = (sum(column) / len(rows) for column in zip(*rows, strict=True))
    return x, y, low, high
