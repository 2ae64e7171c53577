"""Charts: round ticks, and positions and colors of pixels."""

import math

import numpy as np
import pytest
from PIL import ImageColor

from gan_lab.charts.axes import short, ticks
from gan_lab.charts.heat_map import Grid, heat_maps
from gan_lab.charts.line_chart import Line, LineChart
from gan_lab.charts.palette import DARK, LIGHT, LINE_COLORS
from gan_lab.charts.png import line_charts


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 200_000, [0, 50_000, 100_000, 150_000, 200_000]),
        (-2.3, 1.1, [-2, -1, 0, 1]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize("span", [1e-6, 0.37, 3.0, 999.0, 2.5e7])
def test_ticks_are_at_most_six_and_within_the_range(span: float) -> None:
    for low in (-span, 0.0, 7.0):
        found = ticks(low, low + span)
        assert 2 <= len(found) <= 6 and low - 1e-9 * span <= found[0] and found[-1] <= low + span * (1 + 1e-9)


def test_short() -> None:
    assert [short(n) for n in (0, 500, 30_000, 32_768, 1_250_000)] == ["0", "500", "30k", "32.8k", "1.25M"]


COLORS = [ImageColor.getrgb(LIGHT[f"c{k}"]) for k in range(LINE_COLORS)]


def where(pixels: np.ndarray, color: tuple[int, ...]) -> np.ndarray:
    return np.argwhere(np.abs(pixels.astype(int) - color).sum(2) < 90)


def constant(value: float, band: float = 0.0) -> Line:
    return Line([0, 50, 100], [value] * 3, [value - band] * 3, [value + band] * 3)


def pixels_of(title: str, height: int = 200, /, levels: dict[str, float] | None = None, **lines: Line) -> np.ndarray:
    """Pixels of a chart of width 400, without its legend."""
    return np.asarray(line_charts([LineChart(title, lines, levels=levels or {})], size=(400, height)))[:height]


def test_light_and_dark_palettes_have_the_same_names() -> None:
    assert LIGHT.keys() == DARK.keys() and LINE_COLORS == 10
    assert len(set(LIGHT.values())) == len(LIGHT)


def test_lines_are_at_their_values() -> None:
    pixels = pixels_of("loss", a=constant(1), b=constant(0))
    above, below = (where(pixels, color)[:, 0] for color in COLORS[:2])
    assert above.max() - above.min() < 4 and below.max() - below.min() < 4
    assert above.max() < below.min()
    spots = where(pixels_of("loss", a=Line([0, 100], [0, 1])), COLORS[0])
    assert spots[spots[:, 1].argmin(), 0] > 140 and spots[spots[:, 1].argmax(), 0] < 65


def test_a_band_surrounds_its_line() -> None:
    def colored(band: float) -> int:
        pixels = pixels_of("loss", a=constant(1, band), b=constant(0))
        return int((np.ptp(pixels.astype(int), axis=2) > 15).sum())

    assert colored(0.5) > colored(0) + 5000


def test_a_level_is_a_dashed_line_without_a_color() -> None:
    pixels = pixels_of("loss", levels={"best": 2.0}, a=constant(1))
    dashes = where(pixels, ImageColor.getrgb(LIGHT["dim"]))
    dashes = dashes[(dashes[:, 1] > 60) & (dashes[:, 0] < where(pixels, COLORS[0])[:, 0].min()) & (dashes[:, 0] > 42)]
    columns = np.unique(dashes[:, 1])
    assert np.ptp(dashes[:, 0]) < 3 and np.ptp(columns) > 300
    assert 0.45 < len(columns) / np.ptp(columns) < 0.8  # 5 of 9 pixels
    assert len(where(pixels, COLORS[1])) == 0


def test_wide_ranges_are_logarithmic() -> None:
    """Powers of ten are evenly spaced."""
    pixels = pixels_of("kl", 400, a=constant(0.01), b=constant(1), c=constant(100))
    heights = [where(pixels, color)[:, 0].mean() for color in COLORS[:3]]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=2)


def test_a_name_has_one_color_in_all_charts() -> None:
    charts = [LineChart("x", {"a": constant(1), "b": constant(0)}), LineChart("y", {"b": constant(0)})]
    second = np.asarray(line_charts(charts, size=(400, 200)))[:200, 400:]
    assert len(where(second, COLORS[1])) > 300 and len(where(second, COLORS[0])) == 0


def test_values_that_are_not_finite_are_omitted() -> None:
    broken = Line([0, 1, 2], [1, math.nan, 2], [1, 1, 1], [2, 2, 2])
    assert [row[0] for row in broken.rows()] == [0, 2]
    nothing = Line([0, 1], [math.nan, math.inf])
    charts = [
        LineChart("x", {"a": nothing}),
        LineChart("y", {"a": constant(0), "b": Line([], [])}),
        LineChart("z", {"a": Line([5], [1])}),
    ]
    assert line_charts(charts).size == (1120, 2 * 320 + 3 * 26)


def test_higher_numbers_are_darker_in_a_heat_map() -> None:
    grid = Grid(["0.1", "0.2"], ["a", "b", "c"], [[1.0, 2.0, math.nan], [None, 3.0, 4.0]], "row", "column")
    figure = heat_maps({"first": grid, "second": grid, "third": grid}, columns=2)
    single = heat_maps({"first": grid})
    assert figure.size == (2 * single.width, 2 * single.height)
    pixels = np.asarray(single).astype(int)
    assert (pixels == COLORS[0]).all(2).any()  # the highest number's cell
    assert not (np.asarray(figure)[-single.height :, -single.width :] != 255).any()  # the empty fourth panel
    # The darkest color is at the bottom right, in the cell of the highest number.
    places = np.argwhere((pixels == COLORS[0]).all(2))
    assert places[:, 0].min() > single.height * 0.3 and places[:, 1].min() > single.width * 0.6


def test_heat_maps_of_equal_or_missing_numbers() -> None:
    for value in (2.0, None):
        assert heat_maps({"x": Grid(["1"], ["2"], [[value]])}).width > 0
