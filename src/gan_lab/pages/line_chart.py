"""Line charts as SVG: readable on light and dark ground, each point told when the mouse rests on it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from gan_lab.charts import LOGARITHMIC, short, ticks

Point = tuple[float, float]

COLOURS = 10
"""Colours that the style sheet has, `c0` to `c9`; lines take them in turn."""

WIDTH, HEIGHT = 560, 250
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 10, 28

MOST_POINTS = 400
"""Of a line; more are put together in means."""

TOLD_POINTS = 40
"""Of a line, which tell their numbers."""

NOISY = 120
"""Points from which on a line is drawn faint, under its running mean."""

SPIKE = 6
"""A range that is so many times as long as the one without the outermost hundredths is cut to that."""


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high` on pixels from `start` to `end`; what lies outside is put on the edge."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (self._scaled(v) for v in (self.low, self.high, min(max(value, self.low), self.high)))
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 1)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def ticks(self) -> list[float]:
        if not self.logarithmic:
            return ticks(self.low, self.high, 8)
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        steps = [10.0**k for k in range(first, last + 1)]
        if len(steps) < 2:  # less than two powers of ten: 1, 2 and 5 times one
            steps = [m * 10.0**k for k in range(first - 1, last + 1) for m in (1, 2, 5)]
        return [step for step in steps[:: max(1, len(steps) // 5)] if self.low <= step <= self.high]


def line_chart(
    title: str,
    lines: Mapping[str, Sequence[Point]],
    *,
    note: str = "",
    levels: Mapping[str, float] | None = None,
    zero_to_one: bool = False,
    exact: bool = False,
    end: float = 0,
) -> Markup:
    """A figure with a line for each name over images seen. A value axis is logarithmic where that helps.

    Args:
        title: Above it.
        lines: (images seen, value), ascending; values that are not finite are left out.
        note: A sentence below the title.
        levels: Dashed horizontal lines by name, such as what a perfect sampler gets.
        zero_to_one: Draw the values from 0 to 1, whatever they are.
        exact: Draw them as they are: no running mean, no logarithm, nothing cut.
        end: The horizontal axis goes at least so far, so that charts of one run line up.
    """
    finite = {name: [p for p in points if math.isfinite(p[1])] for name, points in lines.items()}
    lost = sum(map(len, lines.values())) - sum(map(len, finite.values()))
    levels = {name: level for name, level in (levels or {}).items() if math.isfinite(level)}
    shown = [p for points in finite.values() for p in points]
    if not shown:
        return _figure(title, f"{note} No finite value of {lost}.".strip(), [], Markup(""))
    x = Axis(0, max(max(p[0] for p in shown), end, 1), LEFT, WIDTH - RIGHT)
    y, cut = _value_axis([p[1] for p in shown], list(levels.values()), zero_to_one, exact)
    remarks = [note, "Logarithmic." if y.logarithmic else ""]
    remarks += [f"{cut} of {len(shown)} values are beyond the axis." if cut else ""]
    remarks += [f"{lost} values are not finite." if lost else ""]
    body = [_rules(x, y)]
    for name, level in levels.items():
        body.append(
            Markup('<line class="level" x1="{}" x2="{}" y1="{}" y2="{}"><title>{}: {:.4g}</title></line>').format(
                x.start, x.end, y(level), y(level), name, level
            )
        )
    body += [_line(name, points, k % COLOURS, x, y, exact) for k, (name, points) in enumerate(finite.items()) if points]
    svg = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, title, Markup("").join(body)
    )
    legend = [
        (f"c{k % COLOURS}", f"{name} {points[-1][1]:.4g}" if points else name)
        for k, (name, points) in enumerate(finite.items())
    ]
    legend += [("level", f"{name} {level:.4g}") for name, level in levels.items()]
    return _figure(title, " ".join(filter(None, remarks)), legend, svg)


def _figure(title: str, note: str, legend: Sequence[tuple[str, str]], svg: Markup) -> Markup:
    keys = Markup("").join(Markup('<span><i class="{}"></i>{}</span>').format(*each) for each in legend)
    return Markup(
        '<figure class="chart"><figcaption>{}</figcaption><p class="note">{}</p>{}<div class="legend">{}</div></figure>'
    ).format(title, note, svg, keys)


def _value_axis(values: Sequence[float], levels: Sequence[float], zero_to_one: bool, exact: bool) -> tuple[Axis, int]:
    """The vertical axis, and how many values are beyond it."""
    if zero_to_one:
        return Axis(0, 1, HEIGHT - BOTTOM, TOP), sum(not 0 <= value <= 1 for value in values)
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    if not exact and low > 0 and high / low > LOGARITHMIC and all(level > 0 for level in levels):
        low, high = min([low, *levels]), max([high, *levels])
        return Axis(low / 1.3, high * 1.3, HEIGHT - BOTTOM, TOP, logarithmic=True), 0
    inner_low, inner_high = ordered[len(ordered) // 100], ordered[-1 - len(ordered) // 100]
    if not exact and high - low > SPIKE * (inner_high - inner_low) > 0:
        low, high = inner_low, inner_high
    # A level that is far away would press the lines together: it is then only in the legend, at the edge.
    near = [level for level in levels if low - 2 * (high - low) <= level <= high + 2 * (high - low)]
    low, high = min([low, *near]), max([high, *near])
    room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    low, high = low - room, high + room
    return Axis(low, high, HEIGHT - BOTTOM, TOP), sum(not low <= value <= high for value in values)


def _rules(x: Axis, y: Axis) -> Markup:
    rule = Markup('<line class="rule" x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" text-anchor="{}">{}</text>')
    drawn = [
        rule.format(x.start, x.end, y(v), y(v), x.start - 6, y(v) + 4, "end", f"{v:.4g}" if v else "0")
        for v in y.ticks()
    ]
    drawn += [rule.format(x(v), x(v), y.start, y.start + 4, x(v), y.start + 18, "middle", short(v)) for v in x.ticks()]
    return Markup("").join(drawn)


def _line(name: str, points: Sequence[Point], colour: int, x: Axis, y: Axis, exact: bool) -> Markup:
    path = Markup('<path class="{} c{}" d="{}"/>')
    drawn = _thinned(points, MOST_POINTS)
    noisy = len(points) > NOISY and not exact
    strong = _smooth(drawn) if noisy else drawn
    parts = [path.format("faint", colour, _path(drawn, x, y))] if noisy else []
    parts.append(path.format("strong", colour, _path(strong, x, y)))
    dot = Markup('<circle class="{} c{}" cx="{}" cy="{}" r="{}"><title>{}: {:.4g} at {} images</title></circle>')
    kind, size = ("lone", 3) if len(points) == 1 else ("told", 6)
    parts += [
        dot.format(kind, colour, x(px), y(py), size, name, py, f"{px:,.0f}") for px, py in _thinned(strong, TOLD_POINTS)
    ]
    return Markup("").join(parts)


def _path(points: Sequence[Point], x: Axis, y: Axis) -> str:
    return "M" + "L".join(f"{x(px):g} {y(py):g}" for px, py in points)


def _thinned(points: Sequence[Point], most: int) -> list[Point]:
    """The points, or means of as many neighbours that `most` are left; the first and the last stay what they are."""
    if len(points) <= most:
        return list(points)
    edges = [round(k * len(points) / (most - 2)) for k in range(most - 1)]
    middle = [_mean(points[start:end]) for start, end in pairwise(edges)]
    return [points[0], *middle, points[-1]]


def _smooth(points: Sequence[Point]) -> list[Point]:
    """Running means over a fifteenth of the points on each side, less near the ends."""
    reach = len(points) // 30
    smooth = []
    for k, (px, _) in enumerate(points):
        near = min(reach, k, len(points) - 1 - k)
        smooth.append((px, _mean(points[k - near : k + near + 1])[1]))
    return smooth


def _mean(points: Sequence[Point]) -> Point:
    return sum(p[0] for p in points) / len(points), sum(p[1] for p in points) / len(points)
