"""Line charts with bands and heat maps, drawn by Pillow: what comparing runs needs, and no plotting library for it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

GREY: Colour = (150, 150, 150)
"""RGB of a line to compare the others with."""

COLOURS: tuple[Colour, ...] = (
    (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189),
    (140, 86, 75), (227, 119, 194), (127, 127, 127), (188, 189, 34), (23, 190, 207),
)  # fmt: skip
"""RGB of the lines, in turn."""

LOGARITHMIC = 50
"""Ratio of the largest to the smallest value, all above 0, from which on an axis is logarithmic."""

_FINE = 2  # drawn so many times as large and then reduced, since Pillow's lines have steps
_FONT = 13 * _FINE
_LEFT, _RIGHT, _TOP, _BOTTOM = (side * _FINE for side in (64, 20, 34, 34))
_TEXT, _RULE = (64, 64, 64), (225, 225, 225)


@dataclass(frozen=True)
class Line:
    """Values over images seen, each with a range around it. Places where a number is not finite are left out.

    Args:
        x: Ascending, not negative.
        mean: As many.
        low: Lower end of the band.
        high: Upper end of the band.
        colour: RGB; None for the next of `COLOURS`.
    """

    x: Sequence[float]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    colour: Colour | None = None

    def points(self) -> list[tuple[float, float, float, float]]:
        """(x, mean, low, high) wherever all four are finite."""
        rows = zip(self.x, self.mean, self.low, self.high, strict=True)
        return [row for row in rows if all(map(math.isfinite, row))]


def line_charts(
    panels: Mapping[str, Mapping[str, Line]], columns: int = 2, size: tuple[int, int] = (560, 320)
) -> Image.Image:
    """A panel for each title with a line for each name, and below them which colour is which name.

    Args:
        panels: Lines by name, by title.
        columns: Panels side by side.
        size: Width and height of a panel, in pixels.
    """
    given = {name: line.colour for lines in panels.values() for name, line in lines.items()}
    turn = cycle(COLOURS)
    colours = {name: colour or next(turn) for name, colour in given.items()}
    columns = min(columns, len(panels))
    width, height = size[0] * _FINE, size[1] * _FINE
    rows, line_height = math.ceil(len(panels) / columns), 2 * _FONT
    canvas = Image.new("RGB", (columns * width, rows * height + (len(colours) + 1) * line_height), "white")
    for k, (title, lines) in enumerate(panels.items()):
        canvas.paste(_panel(title, lines, colours, (width, height)), (k % columns * width, k // columns * height))
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(_FONT)
    for k, (name, colour) in enumerate(colours.items()):
        y = rows * height + (k + 0.5) * line_height
        pen.line([(_LEFT, y), (_LEFT + 2 * _FONT, y)], colour, 3 * _FINE)
        pen.text((_LEFT + 3 * _FONT, y), name, _TEXT, font, anchor="lm")
    return canvas.resize((canvas.width // _FINE, canvas.height // _FINE), Image.Resampling.LANCZOS)


@dataclass(frozen=True)
class Grid:
    """Numbers over two settings; None or what is not finite leaves its cell empty.

    Args:
        rows: What stands before the rows, from the top.
        columns: What stands below the columns.
        values: A list for each row.
        row_title: What the rows are.
        column_title: What the columns are.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float | None]]
    row_title: str = ""
    column_title: str = ""


def heat_maps(panels: Mapping[str, Grid], columns: int = 2) -> Image.Image:
    """A panel for each title: a cell for each number, which stands in it, the darker the higher within its panel."""
    drawn = [_heat_map(title, grid) for title, grid in panels.items()]
    columns = min(columns, len(drawn))
    width, height = max(panel.width for panel in drawn), max(panel.height for panel in drawn)
    canvas = Image.new("RGB", (columns * width, math.ceil(len(drawn) / columns) * height), "white")
    for k, panel in enumerate(drawn):
        canvas.paste(panel, (k % columns * width, k // columns * height))
    return canvas.resize((canvas.width // _FINE, canvas.height // _FINE), Image.Resampling.LANCZOS)


def _heat_map(title: str, grid: Grid) -> Image.Image:
    font = ImageFont.load_default(_FONT)
    side, label = 5 * _FONT, _FONT + int(max(font.getlength(name) for name in [*grid.rows, grid.row_title]))
    size = (label + len(grid.columns) * side + _RIGHT, _TOP + len(grid.rows) * side // 2 + 2 * _BOTTOM)
    image = Image.new("RGB", (max(size[0], label + int(font.getlength(title)) + _RIGHT), size[1]), "white")
    pen = ImageDraw.Draw(image)
    pen.text((label, _TOP / 2), title, _TEXT, font, anchor="lm")
    pen.text((label / 2, size[1] - 1.5 * _BOTTOM), grid.row_title, _TEXT, font, anchor="mm")
    pen.text((label + len(grid.columns) * side / 2, size[1] - _BOTTOM / 2), grid.column_title, _TEXT, font, anchor="mm")
    for c, name in enumerate(grid.columns):
        pen.text((label + (c + 0.5) * side, size[1] - 1.5 * _BOTTOM), name, _TEXT, font, anchor="mm")
    numbers = [value for row in grid.values for value in row if value is not None and math.isfinite(value)]
    low, high = min(numbers, default=0.0), max(numbers, default=1.0)
    for r, (name, row) in enumerate(zip(grid.rows, grid.values, strict=True)):
        top = _TOP + r * side // 2
        pen.text((label - _FONT / 2, top + side / 4), name, _TEXT, font, anchor="rm")
        for c, value in enumerate(row):
            left = label + c * side
            if value is not None and math.isfinite(value):
                share = (value - low) / (high - low) if high > low else 0.5
                colour = tuple(round(255 + share * (end - 255)) for end in COLOURS[0])
                pen.rectangle([left, top, left + side - _FINE, top + side // 2 - _FINE], colour)
                ink = "white" if share > 0.6 else _TEXT
                pen.text((left + side / 2, top + side / 4), f"{value:.3g}", ink, font, anchor="mm")
    return image


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most `most` round numbers from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(factor * power for factor in (1, 2, 5, 10, 20) if (high - low) / (factor * power) <= most - 1)
    return [k * step for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class _Axis:
    """Values from `low` to `high` on pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high = self._scaled(self.low), self._scaled(self.high)
        share = (self._scaled(max(value, self.low) if self.logarithmic else value) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def ticks(self) -> list[float]:
        if not self.logarithmic:
            return ticks(self.low, self.high)
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        return [10.0**k for k in range(first, last + 1)]


def _panel(title: str, lines: Mapping[str, Line], colours: Mapping[str, Colour], size: tuple[int, int]) -> Image.Image:
    image = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(image, "RGBA"), ImageFont.load_default(_FONT)
    pen.text((_LEFT, _TOP / 2), title, _TEXT, font, anchor="lm")
    points = {name: line.points() for name, line in lines.items()}
    if not any(points.values()):
        pen.text((size[0] / 2, size[1] / 2), "no finite values", _TEXT, font, anchor="mm")
        return image
    x, y = _axes([point for each in points.values() for point in each], size)
    _draw_rules(pen, x, y, font)
    for name, rows in points.items():
        colour = colours[name]
        band = [(x(row[0]), y(row[2])) for row in rows] + [(x(row[0]), y(row[3])) for row in reversed(rows)]
        if any(low < high for _, _, low, high in rows[1:]):
            pen.polygon(band, (*colour, 50))
        if len(rows) > 1:
            pen.line([(x(row[0]), y(row[1])) for row in rows], colour, 2 * _FINE, joint="curve")
        elif rows:
            pen.circle((x(rows[0][0]), y(rows[0][1])), 3 * _FINE, colour)
    return image


def _axes(points: Sequence[tuple[float, float, float, float]], size: tuple[int, int]) -> tuple[_Axis, _Axis]:
    """Axes that hold all points and their bands."""
    means = [mean for _, mean, _, _ in points]
    logarithmic = min(means) > 0 and max(means) / min(means) > LOGARITHMIC
    # On a logarithmic axis a band may reach below 0: it is cut where the values end.
    low = min(means) / 1.5 if logarithmic else min(low for _, _, low, _ in points)
    high = max(high for *_, high in points)
    room = 0.0 if logarithmic else 0.05 * (high - low) or 0.5 * abs(high) or 1.0
    x = _Axis(0, max(max(row[0] for row in points), 1), _LEFT, size[0] - _RIGHT)
    y = _Axis(low - room, high * (1.2 if logarithmic else 1) + room, size[1] - _BOTTOM, _TOP, logarithmic)
    return x, y


def _draw_rules(
    pen: ImageDraw.ImageDraw, x: _Axis, y: _Axis, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> None:
    for value in y.ticks():
        pen.line([(x.start, y(value)), (x.end, y(value))], _RULE, _FINE)
        pen.text((x.start - _FONT / 2, y(value)), f"{value:.4g}", _TEXT, font, anchor="rm")
    for value in x.ticks():
        pen.line([(x(value), y.start), (x(value), y.end)], _RULE, _FINE)
        pen.text((x(value), y.start + _FONT / 3), short(value), _TEXT, font, anchor="ma")


def short(value: float) -> str:
    """A number of images in few letters: 500, 30k, 1.2M."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.4g}"
