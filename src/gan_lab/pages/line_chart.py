"""Line charts as SVG for light and dark backgrounds, with tooltips."""

from collections.abc import Sequence

from markupsafe import Markup

from gan_lab.charts.line_chart import Curve, Dot, Drawing, Key, Label, LineChart, Mark, Point, Segment, draw

_LINE = Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}">{}</line>')
_CIRCLE = Markup('<circle class="{} c{}" cx="{}" cy="{}" r="{}">{}</circle>')
_TEXT = Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>')


WIDTH, WIDE = 560, 1150
"""Widths in pixels of a chart in half of a page, and of one across it."""


def line_chart(chart: LineChart, names: Sequence[str] | None = None, wide: bool = False) -> Markup:
    """A `figure` element with title, remarks, lines and legend, for the style sheet of the pages.

    Args:
        chart: Chart to draw.
        names: Names of the lines of several charts, for equal colors in all; None for those of this chart.
        wide: Whether it extends across the page.
    """
    drawing = draw(chart, WIDE if wide else WIDTH, names=names)
    svg = _svg(chart.title, drawing) if drawing.marks else Markup("")
    keys = Markup("").join(
        Markup('<span><i class="{}"></i>{}</span>').format(key.style, _key_text(key)) for key in drawing.legend
    )
    return Markup(
        '<figure class="chart{}"><figcaption>{}</figcaption><p class="note">{}</p>{}'
        '<div class="legend">{}</div></figure>'
    ).format(" wide" if wide else "", chart.title, drawing.remarks, svg, keys)


def _svg(title: str, drawing: Drawing) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        drawing.width, drawing.height, title, Markup("").join(map(_element, drawing.marks))
    )


def _element(mark: Mark) -> Markup:
    match mark:
        case Segment((x1, y1), (x2, y2), style, tooltip):
            return _LINE.format(style, x1, x2, y1, y2, _title(tooltip))
        case Curve(points, style, color):
            return Markup('<path class="{} c{}" d="{}"/>').format(style, color, _path(points))
        case Dot((x, y), radius, style, color, tooltip):
            return _CIRCLE.format(style, color, x, y, radius, _title(tooltip))
        case Label((x, y), text, anchor):
            return _TEXT.format(x, y, anchor, text)


def _title(tooltip: str) -> Markup:
    return Markup("<title>{}</title>").format(tooltip) if tooltip else Markup("")


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points)


def _key_text(key: Key) -> str:
    return key.name if key.value is None else f"{key.name} {key.value:.4g}"
