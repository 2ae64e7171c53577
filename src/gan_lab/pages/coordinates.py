"""Parallel coordinates as SVG, with one line per group of runs through its settings and results."""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from gan_lab.charts.axes import LOGARITHMIC, Axis

HEIGHT, TOP, BOTTOM, MARGIN, STEP = 340, 44, 24, 90, 170


def parallel_coordinates(rows: Mapping[str, Mapping[str, str]], axes: Sequence[str], color: str) -> Markup:
    """Draw a vertical axis for each of `axes`, and a line for each row.

    Axes of numbers are linear, or logarithmic for wide ranges; other axes have evenly spaced categories.

    Args:
        rows: Values by axis, as text, by the name of the row; axes without a finite value are skipped.
        axes: Names of the axes, from left to right.
        color: Axis whose values determine the colors of the lines, from `low` to `high` of the style sheet.
    """
    scales = {axis: _Scale([row[axis] for row in rows.values() if row.get(axis)]) for axis in axes}
    places = {axis: MARGIN + k * STEP for k, axis in enumerate(axes)}
    width = 2 * MARGIN + (len(axes) - 1) * STEP
    body = []
    for name, row in rows.items():
        points = [(places[axis], scales[axis].place(row.get(axis, ""))) for axis in axes]
        known = [(x, y) for x, y in points if y is not None]
        if len(known) > 1:
            fraction = scales[color].fraction(row.get(color, ""))
            values = ", ".join(f"{axis}: {row.get(axis) or 'none'}" for axis in axes)
            body.append(
                Markup('<path class="row" style="--fraction:{}%" d="{}"><title>{} ({})</title></path>').format(
                    round(100 * fraction), "M" + "L".join(f"{x} {y}" for x, y in known), name, values
                )
            )
    body += [_axis(axis, scales[axis], places[axis], k) for k, axis in enumerate(axes)]
    return Markup(
        '<figure class="chart wide"><figcaption>Settings and results</figcaption><p class="note">One line per group of '
        "runs, colored by {} from blue (lowest) to orange (highest); hover over a line for its values.</p>"
        '<svg viewBox="0 0 {} {}" style="max-width:{}px" role="img" aria-label="parallel coordinates">{}</svg>'
        "</figure>"
    ).format(color, width, HEIGHT, max(width * 1.4, 560), Markup("").join(body))


class _Scale:
    """Positions of the values on one axis."""

    def __init__(self, values: Sequence[str]) -> None:
        numbers = [_number(value) for value in values]
        self.axis: Axis | None = None
        self.categories: list[str] = []
        if values and all(number is not None for number in numbers):
            finite = [number for number in numbers if number is not None and math.isfinite(number)]
            self.axis = _number_axis(finite) if finite else None
        else:
            self.categories = sorted(set(values))

    def place(self, value: str) -> float | None:
        """Vertical position of a value in pixels; None if it is missing or not finite."""
        if self.axis is not None:
            number = _number(value)
            return None if number is None or not math.isfinite(number) else self.axis(number)
        if value not in self.categories:
            return None
        room = (HEIGHT - BOTTOM - TOP) / len(self.categories)
        return round(HEIGHT - BOTTOM - (self.categories.index(value) + 0.5) * room, 1)

    def fraction(self, value: str) -> float:
        """Position between the ends of the axis, from 0 (lowest) to 1; 0.5 if the value is missing."""
        place = self.place(value)
        return 0.5 if place is None else (HEIGHT - BOTTOM - place) / (HEIGHT - BOTTOM - TOP)

    def labels(self) -> list[tuple[str, float]]:
        if self.axis is None:
            return [(category, self.place(category) or 0.0) for category in self.categories]
        return [(f"{value:.4g}", self.axis(value)) for value in self.axis.ticks()]


def _number_axis(values: Sequence[float]) -> Axis:
    low, high = min(values), max(values)
    if low == high:
        low, high = low - (abs(low) or 1), high + (abs(high) or 1)
    if low > 0 and high / low > LOGARITHMIC:
        return Axis(low, high, HEIGHT - BOTTOM, TOP, logarithmic=True)
    return Axis(low, high, HEIGHT - BOTTOM, TOP)


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _axis(name: str, scale: _Scale, x: float, number: int) -> Markup:
    shown = name if len(name) <= 26 else f"…{name[-25:]}"
    body = [
        Markup('<line class="axis" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(x, TOP, HEIGHT - BOTTOM),
        Markup('<text class="name" x="{}" y="{}" text-anchor="middle">{}<title>{}</title></text>').format(
            x, TOP - 14 - 14 * (number % 2), shown, name
        ),
    ]
    body += [
        Markup('<text class="value" x="{}" y="{}">{}</text>').format(
            x + 6, y + 4, label if len(label) <= 18 else f"{label[:17]}…"
        )
        for label, y in scale.labels()
    ]
    return Markup("").join(body)
