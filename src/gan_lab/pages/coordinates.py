"""Parallel coordinates as SVG: a line for each group of runs through its settings and its results."""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from gan_lab.charts import LOGARITHMIC
from gan_lab.pages.line_chart import Axis

HEIGHT, TOP, BOTTOM, SIDE, STEP = 340, 44, 24, 90, 170


def parallel_coordinates(rows: Mapping[str, Mapping[str, str]], axes: Sequence[str], colour: str) -> Markup:
    """A figure with a vertical axis for each of `axes` and a line for each row.

    An axis of numbers is to scale, logarithmic where that helps, and any other has its words at equal distances.

    Args:
        rows: Values by axis, as text, by the name of the row; a row ends where it has no finite value.
        axes: From left to right.
        colour: The axis whose values colour the lines, from the style sheet's `low` to its `high`.
    """
    scales = {axis: _Scale([row[axis] for row in rows.values() if row.get(axis)]) for axis in axes}
    places = {axis: SIDE + k * STEP for k, axis in enumerate(axes)}
    width = 2 * SIDE + (len(axes) - 1) * STEP
    body = []
    for name, row in rows.items():
        points = [(places[axis], scales[axis].place(row.get(axis, ""))) for axis in axes]
        known = [(x, y) for x, y in points if y is not None]
        if len(known) > 1:
            share = scales[colour].share(row.get(colour, ""))
            told = ", ".join(f"{axis}: {row.get(axis) or 'none'}" for axis in axes)
            body.append(
                Markup('<path class="row" style="--share:{}%" d="{}"><title>{} ({})</title></path>').format(
                    round(100 * share), "M" + "L".join(f"{x} {y}" for x, y in known), name, told
                )
            )
    body += [_axis(axis, scales[axis], places[axis], k) for k, axis in enumerate(axes)]
    return Markup(
        '<figure class="chart wide"><figcaption>Settings and results</figcaption><p class="note">A line for each group of runs, '
        'coloured by {}, from blue for the lowest to orange; rest the mouse on one.</p><svg viewBox="0 0 {} {}" style="max-width:{}px" role="img" aria-label="parallel coordinates">{}</svg>'
        "</figure>"
    ).format(colour, width, HEIGHT, max(width * 1.4, 560), Markup("").join(body))


class _Scale:
    """Where the values of one axis are."""

    def __init__(self, values: Sequence[str]) -> None:
        numbers = [_number(value) for value in values]
        self.axis: Axis | None = None
        self.words: list[str] = []
        if values and all(number is not None for number in numbers):
            finite = [number for number in numbers if number is not None and math.isfinite(number)]
            self.axis = _number_axis(finite) if finite else None
        else:
            self.words = sorted(set(values))

    def place(self, value: str) -> float | None:
        """Height on the figure, None where there is none."""
        if self.axis is not None:
            number = _number(value)
            return None if number is None or not math.isfinite(number) else self.axis(number)
        if value not in self.words:
            return None
        room = (HEIGHT - BOTTOM - TOP) / len(self.words)
        return round(HEIGHT - BOTTOM - (self.words.index(value) + 0.5) * room, 1)

    def share(self, value: str) -> float:
        """0 at the lower end, 1 at the upper one, a half where there is no value."""
        place = self.place(value)
        return 0.5 if place is None else (HEIGHT - BOTTOM - place) / (HEIGHT - BOTTOM - TOP)

    def labels(self) -> list[tuple[str, float]]:
        if self.axis is None:
            return [(word, self.place(word) or 0.0) for word in self.words]
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
        Markup('<text class="words" x="{}" y="{}">{}</text>').format(
            x + 6, y + 4, label if len(label) <= 18 else f"{label[:17]}…"
        )
        for label, y in scale.labels()
    ]
    return Markup("").join(body)
