"""Line charts and parallel coordinates: positions of values, compared with independent arithmetic."""

import math
import re
from pathlib import Path

import pytest
from markupsafe import Markup

from gan_lab.charts.axes import Axis
from gan_lab.charts.line_chart import BOTTOM, LEFT, LETTER, RIGHT, TOP, Line, LineChart, Point
from gan_lab.pages.coordinates import BOTTOM as FOOT
from gan_lab.pages.coordinates import HEIGHT as TALL
from gan_lab.pages.coordinates import TOP as HEAD
from gan_lab.pages.coordinates import parallel_coordinates
from gan_lab.pages.line_chart import line_chart
from tests.helpers.html_reader import Node, read_page

WIDTH, HEIGHT = 560, 250
EVIL = '<script>alert("1")</script>'


def parsed(figure: Markup, folder: Path) -> Node:
    (folder / "x.html").write_text(figure)
    return read_page(folder / "x.html")


def chart(title: str, curves: dict[str, list[Point]], **options) -> Markup:
    lines = {name: Line([x for x, _ in curve], [y for _, y in curve]) for name, curve in curves.items()}
    return line_chart(LineChart(title, lines, **options))


def points(path: Node) -> list[tuple[float, float]]:
    pairs = [pair.split() for pair in re.split("[ML]", path.attributes["d"]) if pair]
    return [(float(x), float(y)) for x, y in pairs]


def test_positions_of_points(tmp_path: Path) -> None:
    page = parsed(chart("t", {"a": [(0, 1.0), (50, 3.0), (100, 2.0)], "b": [(100, 1.5)]}), tmp_path)
    path, *_ = page.all("path", "strong")
    (x0, y0), (x1, y1), (x2, y2) = points(path)
    assert (x0, x1, x2) == (LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT)
    assert TOP < y1 < y2 < y0 < HEIGHT - BOTTOM and y2 == pytest.approx((y0 + y1) / 2, abs=0.1)
    shown = [node.text for node in page.all("circle", "tooltip")]
    assert shown == ["a: 1 at 0 images", "a: 3 at 50 images", "a: 2 at 100 images"]
    assert page.all("circle", "lone")[0].attributes["cx"] == f"{WIDTH - RIGHT:.1f}"
    assert [node.text for node in page.all("span")] == ["a 2", "b 1.5"]


def test_labels_are_at_their_values(tmp_path: Path) -> None:
    page = parsed(chart("t", {"a": [(0, 0.0), (1000, 10.0)]}), tmp_path)
    (start, end) = points(page.all("path")[0])
    labels = [
        (float(node.text), float(node.attributes["y"]) - 4)
        for node in page.all("text")
        if node.attributes["text-anchor"] == "end"
    ]
    assert len(labels) >= 4
    for value, y in labels:
        assert y == pytest.approx(start[1] + value / 10 * (end[1] - start[1]), abs=0.2)


def test_wide_ranges_are_logarithmic(tmp_path: Path) -> None:
    page = parsed(chart("t", {"a": [(0, 0.01), (1, 1.0), (2, 100.0)]}), tmp_path)
    heights = [y for _, y in points(page.all("path")[0])]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)
    assert "Logarithmic." in page.all("p")[0].text
    exact = parsed(chart("t", {"a": [(0, 0.01), (1, 1.0), (2, 100.0)]}, exact=True), tmp_path)
    assert exact.all("p")[0].text == ""


def test_a_spike_is_clamped_and_reported(tmp_path: Path) -> None:
    curve = [(k, math.sin(k)) for k in range(300)]
    curve[7] = (7, -1e6)
    page = parsed(chart("t", {"a": curve}), tmp_path)
    assert "1 of 300 values are beyond the axis." in page.all("p")[0].text
    faint = points(page.all("path", "faint")[0])
    assert max(y for _, y in faint) <= HEIGHT - BOTTOM and len({y for _, y in faint}) > 50


def test_values_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    page = parsed(chart("t", {"a": [(0, math.nan), (1, 2.0), (2, math.inf), (3, 1.0)]}), tmp_path)
    assert len(points(page.all("path")[0])) == 2 and "2 values are not finite." in page.all("p")[0].text
    page = parsed(chart("t", {"a": [(0, math.nan)]}), tmp_path)
    assert page.all("p")[0].text == "No finite value of 1." and not page.all("svg")


def test_long_curves_preserve_their_ends_and_mean(tmp_path: Path) -> None:
    curve = [(k, float(k % 2)) for k in range(10_001)]
    page = parsed(chart("t", {"a": curve}), tmp_path)
    faint, strong = (points(page.all("path", kind)[0]) for kind in ("faint", "strong"))
    assert len(faint) <= 400 and faint[0][0] == LEFT and faint[-1][0] == WIDTH - RIGHT
    axis = Axis(-0.06, 1.06, HEIGHT - BOTTOM, TOP)
    assert all(y == pytest.approx(axis(0.5), abs=3) for _, y in strong[20:-20])
    assert len(page.all("circle", "tooltip")) <= 40


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-30, 1e30])
def test_constant_values(value: float, tmp_path: Path) -> None:
    page = parsed(chart("t", {"a": [(0, value), (9, value)]}), tmp_path)
    assert len({y for _, y in points(page.all("path")[0])}) == 1


def test_levels(tmp_path: Path) -> None:
    page = parsed(chart("t", {"a": [(0, 1.0), (9, 2.0)]}, levels={"perfect sampler": 1.5}), tmp_path)
    (level,) = page.all("line", "level")
    heights = [y for _, y in points(page.all("path")[0])]
    assert float(level.attributes["y1"]) == pytest.approx(sum(heights) / 2, abs=0.1)
    assert "perfect sampler 1.5" in [node.text for node in page.all("span")]


def test_the_outline_of_a_band(tmp_path: Path) -> None:
    line = Line([0, 50, 100], [1.0, 2.0, 3.0], [0.0, 1.5, 2.0], [2.0, 2.5, 4.0])
    page = parsed(line_chart(LineChart("t", {"a": line, "b": Line([0, 100], [1.0, 1.0])})), tmp_path)
    (band,) = page.all("path", "band")
    axis = Axis(-0.24, 4.24, HEIGHT - BOTTOM, TOP)
    assert [y for _, y in points(band)] == [axis(v) for v in (0.0, 1.5, 2.0, 4.0, 2.5, 2.0)]
    assert [x for x, _ in points(band)][3:] == [x for x, _ in points(band)][2::-1]
    assert [y for _, y in points(page.all("path", "strong")[0])] == [axis(v) for v in (1.0, 2.0, 3.0)]


def test_a_band_below_zero_is_clamped_on_a_logarithmic_axis(tmp_path: Path) -> None:
    line = Line([0, 1], [0.01, 100.0], [-5.0, -5.0], [0.02, 200.0])
    page = parsed(line_chart(LineChart("t", {"a": line})), tmp_path)
    heights = [y for _, y in points(page.all("path", "band")[0])]
    axis = Axis(0.01 / 1.3, 200 * 1.3, HEIGHT - BOTTOM, TOP, logarithmic=True)
    assert heights == [HEIGHT - BOTTOM, HEIGHT - BOTTOM, axis(200), axis(0.02)]


def test_text_is_escaped(tmp_path: Path) -> None:
    page = parsed(chart(EVIL, {EVIL: [(0, 1.0), (1, 2.0)]}, note=EVIL, levels={EVIL: 1.0}), tmp_path)
    rows = {EVIL: {EVIL: "1", "b": EVIL}, "x": {EVIL: "2", "b": "c"}}
    both = [page, parsed(parallel_coordinates(rows, [EVIL, "b"], EVIL), tmp_path)]
    for each in both:
        assert not each.all("script") and EVIL in each.text


ROWS = {
    "one": {"lr": "0.001", "loss": "hinge", "fid": "10"},
    "two": {"lr": "0.01", "loss": "wasserstein", "fid": "20"},
    "three": {"lr": "0.1", "loss": "hinge", "fid": "15"},
    "died": {"lr": "0.1", "loss": "hinge", "fid": ""},
}


def test_parallel_coordinates(tmp_path: Path) -> None:
    page = parsed(parallel_coordinates(ROWS, ["lr", "loss", "fid"], "fid"), tmp_path)
    one, two, three, died = (points(path) for path in page.all("path", "row"))
    assert [len(p) for p in (one, two, three, died)] == [3, 3, 3, 2]
    assert (one[0][1], two[0][1], three[0][1]) == (TALL - FOOT, (TALL - FOOT + HEAD) / 2, HEAD)  # logarithmic
    assert one[1] == three[1] != two[1]
    assert (one[2][1], two[2][1], three[2][1]) == (TALL - FOOT, HEAD, (TALL - FOOT + HEAD) / 2)
    assert [path.attributes["style"] for path in page.all("path", "row")] == [
        f"--fraction:{n}%" for n in (0, 100, 50, 50)
    ]
    assert "two (lr: 0.01, loss: wasserstein, fid: 20)" in [path.text for path in page.all("path", "row")]
    assert len(page.all("line", "axis")) == 3


def test_parallel_coordinates_of_one_value(tmp_path: Path) -> None:
    rows = {"a": {"lr": "1", "fid": "nan"}, "b": {"lr": "1", "fid": "nan"}}
    assert not parsed(parallel_coordinates(rows, ["lr", "fid"], "fid"), tmp_path).all("path", "row")


def test_a_distant_level_is_named_and_not_drawn(tmp_path: Path) -> None:
    """Drawn at the edge it would look like a value of the chart."""
    page = parsed(chart("t", {"a": [(0, 1.0), (9, 2.0)]}, levels={"perfect sampler": 90.0}), tmp_path)
    assert not page.all("line", "level")
    assert "perfect sampler (outside of the chart) 90" in page.text


@pytest.mark.parametrize("wide", [False, True])
def test_no_label_is_cut_at_the_right_edge(tmp_path: Path, wide: bool) -> None:
    page = parsed(line_chart(LineChart("t", {"a": Line([0, 1_250_000], [0.0, 1.0])}), wide=wide), tmp_path)
    width = float(page.all("svg")[0].attributes["viewbox"].split()[2])
    for label in page.all("text"):
        if label.attributes["text-anchor"] == "middle":
            assert float(label.attributes["x"]) + LETTER * len(label.text) / 2 <= width
