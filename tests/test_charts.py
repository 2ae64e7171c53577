"""Line charts: round ticks, and pixels where the values are."""

import math

import numpy as np
import pytest

from gan_lab.charts import COLOURS, GREY, Grid, Line, heat_maps, line_charts, short, ticks


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
def test_ticks_are_few_and_inside(span: float) -> None:
    for low in (-span, 0.0, 7.0):
        found = ticks(low, low + span)
        assert 2 <= len(found) <= 6 and low - 1e-9 * span <= found[0] and found[-1] <= low + span * (1 + 1e-9)


def test_short() -> None:
    assert [short(n) for n in (0, 500, 30_000, 32_768, 1_250_000)] == ["0", "500", "30k", "32.8k", "1.25M"]


def where(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.argwhere(np.abs(pixels.astype(int) - colour).sum(2) < 90)


def constant(value: float, band: float = 0.0) -> Line:
    return Line([0, 50, 100], [value] * 3, [value - band] * 3, [value + band] * 3)


def test_lines_lie_at_their_values() -> None:
    pixels = np.asarray(line_charts({"loss": {"a": constant(1), "b": constant(0)}}, size=(400, 200)))[:200]
    above, below = (where(pixels, colour)[:, 0] for colour in COLOURS[:2])
    assert above.max() - above.min() < 4 and below.max() - below.min() < 4
    assert above.max() < below.min()
    rising = np.asarray(line_charts({"loss": {"a": Line([0, 100], [0, 1], [0, 1], [0, 1])}}, size=(400, 200)))[:200]
    spots = where(rising, COLOURS[0])
    assert spots[spots[:, 1].argmin(), 0] > 140 and spots[spots[:, 1].argmax(), 0] < 45


def test_band_is_around_its_line() -> None:
    def coloured(band: float) -> int:
        pixels = np.asarray(line_charts({"loss": {"a": constant(1, band), "b": constant(0)}}, size=(400, 200)))[:200]
        return int((np.ptp(pixels.astype(int), axis=2) > 15).sum())

    assert coloured(0.5) > coloured(0) + 5000


def test_a_given_colour_takes_no_turn() -> None:
    given = Line([0, 100], [2, 2], [2, 2], [2, 2], GREY)
    pixels = np.asarray(line_charts({"loss": {"best": given, "a": constant(1)}}, size=(400, 200)))[:200]
    assert where(pixels, GREY)[:, 0].min() < where(pixels, COLOURS[0])[:, 0].min()
    assert len(where(pixels, COLOURS[1])) == 0


def test_wide_ranges_are_logarithmic() -> None:
    """Powers of ten are equally far from each other."""
    lines = {name: constant(value) for name, value in {"a": 0.01, "b": 1, "c": 100}.items()}
    pixels = np.asarray(line_charts({"kl": lines}, size=(400, 400)))[:400]
    heights = [where(pixels, colour)[:, 0].mean() for colour in COLOURS[:3]]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=2)


def test_numbers_that_are_not_finite_are_left_out() -> None:
    broken = Line([0, 1, 2], [1, math.nan, 2], [1, 1, 1], [2, 2, 2])
    assert [row[0] for row in broken.points()] == [0, 2]
    nothing = Line([0, 1], [math.nan, math.inf], [0, 0], [1, 1])
    chart = line_charts(
        {"x": {"a": nothing}, "y": {"a": constant(0), "b": Line([], [], [], [])}, "z": {"a": Line([5], [1], [1], [1])}}
    )
    assert chart.size == (1120, 2 * 320 + 3 * 26)


def test_heat_map_is_darker_where_numbers_are_higher() -> None:
    grid = Grid(["0.1", "0.2"], ["a", "b", "c"], [[1.0, 2.0, math.nan], [None, 3.0, 4.0]], "row", "column")
    picture = heat_maps({"first": grid, "second": grid, "third": grid}, columns=2)
    single = heat_maps({"first": grid})
    assert picture.size == (2 * single.width, 2 * single.height)
    pixels = np.asarray(single).astype(int)
    assert (pixels == COLOURS[0]).all(2).any()  # the highest number's cell
    assert not (np.asarray(picture)[-single.height :, -single.width :] != 255).any()  # the empty fourth place
    # The darkest colour is in the last column's lower half of the rows, where the highest number stands.
    places = np.argwhere((pixels == COLOURS[0]).all(2))
    assert places[:, 0].min() > single.height * 0.3 and places[:, 1].min() > single.width * 0.6


def test_heat_map_of_equal_numbers_or_none_is_drawn() -> None:
    for value in (2.0, None):
        assert heat_maps({"x": Grid(["1"], ["2"], [[value]])}).width > 0
