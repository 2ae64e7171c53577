"""Line charts as images, drawn by Pillow with its built-in font, without a plotting library."""

import math
from collections.abc import Sequence
from itertools import pairwise

from PIL import Image, ImageColor, ImageDraw, ImageFont

from gan_lab.charts.line_chart import Curve, Dot, Drawing, Key, Label, LineChart, Mark, Segment, draw
from gan_lab.charts.palette import LIGHT

FINE = 2
"""Scale at which images are drawn before they are reduced, for antialiasing: Pillow's lines are not antialiased."""

_HEADER = 40  # pixels above the marks, for title and remarks
_KEY = 26  # pixels of one entry of the legend
_WIDTHS = {"rule": 1.0, "level": 1.3, "faint": 1.0, "strong": 1.8}  # as in the style sheet of pages
_FAINT, _BAND = 0.3, 0.2  # opacity
_DASH, _PERIOD = 5, 9  # pixels

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def line_charts(charts: Sequence[LineChart], columns: int = 2, size: tuple[int, int] = (560, 320)) -> Image.Image:
    """Draw charts in rows, and a common legend below them.

    Args:
        charts: At least one.
        columns: Charts in a row.
        size: Width and height of a chart in pixels.
    """
    names = list(dict.fromkeys(name for chart in charts for name in chart.lines))
    drawings = [draw(chart, size[0], size[1] - _HEADER, names) for chart in charts]
    legend = {key.name: key for drawing in drawings for key in drawing.legend}
    columns = min(columns, len(charts))
    rows = math.ceil(len(charts) / columns)
    canvas = Image.new("RGB", (columns * size[0] * FINE, (rows * size[1] + (len(legend) + 1) * _KEY) * FINE), "white")
    for k, (chart, drawing) in enumerate(zip(charts, drawings, strict=True)):
        panel = _panel(chart.title, drawing)
        canvas.paste(panel, (k % columns * size[0] * FINE, k // columns * size[1] * FINE))
    _draw_legend(canvas, list(legend.values()), rows * size[1])
    return reduced(canvas)


def reduced(canvas: Image.Image) -> Image.Image:
    """Reduce an image that was drawn at `FINE` times its size."""
    return canvas.resize((canvas.width // FINE, canvas.height // FINE), Image.Resampling.LANCZOS)


def font(pixels: int) -> Font:
    """Pillow's built-in font, for an image drawn at `FINE` times its size."""
    return ImageFont.load_default(pixels * FINE)


def _panel(title: str, drawing: Drawing) -> Image.Image:
    image = Image.new("RGB", (drawing.width * FINE, (drawing.height + _HEADER) * FINE), "white")
    pen = ImageDraw.Draw(image, "RGBA")
    pen.text(_scaled((16, 14)), title, LIGHT["ink"], font(13), anchor="lm")
    pen.text(_scaled((16, 31)), drawing.remarks, LIGHT["dim"], font(11), anchor="lm")
    for mark in drawing.marks:
        _draw_mark(pen, mark)
    return image


def _draw_legend(canvas: Image.Image, legend: Sequence[Key], top: int) -> None:
    pen = ImageDraw.Draw(canvas)
    for k, key in enumerate(legend):
        y = top + (k + 0.5) * _KEY
        if key.style == "level":
            _draw_dashes(pen, (64, y), (90, y), 2)
        else:
            pen.line([_scaled((64, y)), _scaled((90, y))], LIGHT[key.style], 3 * FINE)
        pen.text(_scaled((103, y)), key.name, LIGHT["ink"], font(13), anchor="lm")


def _draw_mark(pen: ImageDraw.ImageDraw, mark: Mark) -> None:
    """Draw one mark below the header, except tooltips."""
    match mark:
        case Segment(start, end, "level"):
            _draw_dashes(pen, _below(start), _below(end), _WIDTHS["level"])
        case Segment(start, end, style):
            pen.line([_scaled(_below(start)), _scaled(_below(end))], LIGHT["rule"], round(_WIDTHS[style] * FINE))
        case Curve(points, "band", color):
            pen.polygon([_scaled(_below(p)) for p in points], _mixed(color, _BAND))
        case Curve(points, style, color):
            fill = _mixed(color, _FAINT if style == "faint" else 1)
            fine = [_scaled(_below(p)) for p in points]
            # Transparent lines are drawn segment by segment, since joints would be covered twice.
            for piece in pairwise(fine) if style == "faint" else [fine]:
                pen.line(list(piece), fill, round(_WIDTHS[style] * FINE), joint="curve" if style == "strong" else None)
        case Dot(center, radius, "lone", color):
            (x, y), r = _scaled(_below(center)), radius * FINE
            pen.ellipse([x - r, y - r, x + r, y + r], LIGHT[f"c{color}"])
        case Label(at, text, anchor):
            horizontal = {"start": "l", "middle": "m", "end": "r"}[anchor]
            pen.text(_scaled(_below(at)), text, LIGHT["dim"], font(11), anchor=f"{horizontal}s")


def _draw_dashes(pen: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float], width: float) -> None:
    """Draw a dashed horizontal line."""
    for k in range(math.ceil((end[0] - start[0]) / _PERIOD)):
        left = start[0] + k * _PERIOD
        pen.line(
            [_scaled((left, start[1])), _scaled((min(left + _DASH, end[0]), end[1]))], LIGHT["dim"], round(width * FINE)
        )


def _mixed(color: int, opacity: float) -> tuple[int, ...]:
    return (*ImageColor.getrgb(LIGHT[f"c{color}"]), round(255 * opacity))


def _below(point: tuple[float, float]) -> tuple[float, float]:
    return point[0], point[1] + _HEADER


def _scaled(point: tuple[float, float]) -> tuple[float, float]:
    return point[0] * FINE, point[1] * FINE
