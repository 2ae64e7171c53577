"""Heat maps as images, drawn by Pillow."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageColor, ImageDraw

from gan_lab.charts.palette import LIGHT
from gan_lab.charts.png import FINE, font, reduced

_FONT = 13 * FINE
_RIGHT, _TOP, _BOTTOM = 20 * FINE, 34 * FINE, 34 * FINE
_TEXT, _DARKEST = LIGHT["ink"], ImageColor.getrgb(LIGHT["c0"])


@dataclass(frozen=True)
class Grid:
    """Table of numbers over two settings; None and values that are not finite leave a cell empty.

    Args:
        rows: Labels of the rows, from the top.
        columns: Labels of the columns.
        values: One list per row.
        row_title: Name of the setting of the rows.
        column_title: Name of the setting of the columns.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float | None]]
    row_title: str = ""
    column_title: str = ""


def heat_maps(panels: Mapping[str, Grid], columns: int = 2) -> Image.Image:
    """Draw one panel per title, with one labeled cell per number: the higher the number, the darker the cell."""
    drawn = [_heat_map(title, grid) for title, grid in panels.items()]
    columns = min(columns, len(drawn))
    width, height = max(panel.width for panel in drawn), max(panel.height for panel in drawn)
    canvas = Image.new("RGB", (columns * width, math.ceil(len(drawn) / columns) * height), "white")
    for k, panel in enumerate(drawn):
        canvas.paste(panel, (k % columns * width, k // columns * height))
    return reduced(canvas)


def _heat_map(title: str, grid: Grid) -> Image.Image:
    letters = font(_FONT // FINE)
    cell, label = 5 * _FONT, _FONT + int(max(letters.getlength(name) for name in [*grid.rows, grid.row_title]))
    size = (label + len(grid.columns) * cell + _RIGHT, _TOP + len(grid.rows) * cell // 2 + 2 * _BOTTOM)
    image = Image.new("RGB", (max(size[0], label + int(letters.getlength(title)) + _RIGHT), size[1]), "white")
    pen = ImageDraw.Draw(image)
    pen.text((label, _TOP / 2), title, _TEXT, letters, anchor="lm")
    pen.text((label / 2, size[1] - 1.5 * _BOTTOM), grid.row_title, _TEXT, letters, anchor="mm")
    pen.text(
        (label + len(grid.columns) * cell / 2, size[1] - _BOTTOM / 2), grid.column_title, _TEXT, letters, anchor="mm"
    )
    for c, name in enumerate(grid.columns):
        pen.text((label + (c + 0.5) * cell, size[1] - 1.5 * _BOTTOM), name, _TEXT, letters, anchor="mm")
    numbers = [value for row in grid.values for value in row if value is not None and math.isfinite(value)]
    low, high = min(numbers, default=0.0), max(numbers, default=1.0)
    for r, (name, row) in enumerate(zip(grid.rows, grid.values, strict=True)):
        top = _TOP + r * cell // 2
        pen.text((label - _FONT / 2, top + cell / 4), name, _TEXT, letters, anchor="rm")
        for c, value in enumerate(row):
            left = label + c * cell
            if value is not None and math.isfinite(value):
                level = (value - low) / (high - low) if high > low else 0.5
                color = tuple(round(255 + level * (end - 255)) for end in _DARKEST)
                pen.rectangle([left, top, left + cell - FINE, top + cell // 2 - FINE], color)
                ink = "white" if level > 0.6 else _TEXT
                pen.text((left + cell / 2, top + cell / 4), f"{value:.3g}", ink, letters, anchor="mm")
    return image
