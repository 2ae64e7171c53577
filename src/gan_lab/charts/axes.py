"""Axes of charts: mapping from values to pixels, and round ticks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

LOGARITHMIC = 50
"""Ratio of the largest to the smallest value, all positive, above which an axis is logarithmic."""

SPIKE = 6
"""Ratio of the full range to the range without the outermost 1 % at both ends, above which an axis shows the latter."""


@dataclass(frozen=True)
class Axis:
    """Mapping of values from `low` to `high` to pixels from `start` to `end`; values outside are clamped."""

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
        """At most 8 round values on the axis."""
        if not self.logarithmic:
            return ticks(self.low, self.high, 8)
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        steps = [10.0**k for k in range(first, last + 1)]
        if len(steps) < 2:  # fewer than two powers of ten: add 2 and 5 times powers of ten
            steps = [m * 10.0**k for k in range(first - 1, last + 1) for m in (1, 2, 5)]
        return [step for step in steps[:: max(1, len(steps) // 5)] if self.low <= step <= self.high]


def value_axis(
    values: Sequence[float], bands: Sequence[float], levels: Sequence[float], exact: bool, start: float, end: float
) -> Axis:
    """Vertical axis of a chart, logarithmic or without outliers if that shows more.

    Args:
        values: Values of the lines, at least one.
        bands: Ends of the bands around the lines. On a logarithmic axis, bands are cut below the lowest value.
        levels: Values of the horizontal lines; the axis does not reach a distant one, which would compress the lines.
        exact: Show the full range on a linear axis.
        start: Pixel of the lowest value.
        end: Pixel of the highest value.
    """
    low, high = min(values), max(values)
    if not exact and low > 0 and high / low > LOGARITHMIC and all(level > 0 for level in levels):
        low, high = min([low, *levels]), max([high, *bands, *levels])
        return Axis(low / 1.3, high * 1.3, start, end, logarithmic=True)
    ordered = sorted([*values, *bands])
    low, high = ordered[0], ordered[-1]
    inner_low, inner_high = ordered[len(ordered) // 100], ordered[-1 - len(ordered) // 100]
    if not exact and high - low > SPIKE * (inner_high - inner_low) > 0:
        low, high = inner_low, inner_high
    reach = 2 * (high - low or abs(high) or 1.0)
    near = [level for level in levels if low - reach <= level <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return Axis(low - margin, high + margin, start, end)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most `most` round numbers from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(factor * power for factor in (1, 2, 5, 10, 20) if (high - low) / (factor * power) <= most - 1)
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """Short form of a number of images: 500, 30k, 1.2M."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.4g}"
