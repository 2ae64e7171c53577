"""Figures: pixel values, layout, orientation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_lab.figures import (
    BACKGROUND,
    FIELD,
    class_shape,
    density,
    draw_by_class,
    draw_samples,
    enlarged,
    evenly,
    extent_of,
    field,
    image_grid,
    names_of,
    plane,
    sheet,
    strip,
    to_uint8,
    with_row_names,
    write_gif,
)


def test_pixel_values() -> None:
    values = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
    assert to_uint8(values).tolist() == [0, 0, 128, 255, 255]
    every = torch.arange(256)
    assert torch.equal(to_uint8(every / 127.5 - 1), every.to(torch.uint8))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_grid_places_images_row_by_row(channels: int, mode: str) -> None:
    images = torch.linspace(-1, 1, 6).view(6, 1, 1, 1).expand(6, channels, 4, 4)
    grid = image_grid(images, columns=3, size=1)
    pixels = np.asarray(grid).reshape(grid.height, grid.width, channels)
    assert grid.mode == mode and pixels.shape[:2] == (2 * 5 + 1, 3 * 5 + 1)
    centers = [pixels[3 + 5 * row, 3 + 5 * column, 0] for row in range(2) for column in range(3)]
    assert centers == to_uint8(images[:, 0, 0, 0]).tolist()
    assert (pixels[0] == BACKGROUND).all() and (pixels[:, 5] == BACKGROUND).all()


def test_small_images_are_enlarged_by_an_integer_factor() -> None:
    assert image_grid(torch.zeros(4, 1, 8, 8), size=640).width >= 640
    assert image_grid(torch.zeros(1, 3, 128, 128), size=64).size == (130, 130)
    assert image_grid(torch.zeros(5, 1, 8, 8), size=1).size == (3 * 9 + 1, 2 * 9 + 1)


def test_density_is_dark_at_points_with_y_upwards() -> None:
    pixels = np.asarray(density(torch.tensor([[2.5, 2.5], [2.5, 2.5], [-2.5, -2.5]]), extent=3, size=60, cells=6))
    assert tuple(pixels[5, 55]) == (23, 55, 94)  # upper right: most points
    assert tuple(pixels[5, 5]) == (255, 255, 255)
    assert 23 < pixels[55, 5, 0] < 255  # lower left: fewer


def test_density_without_points_in_its_range_is_white() -> None:
    assert np.asarray(density(torch.full((3, 2), 9.0), extent=1)).min() == 255


def test_extent_contains_all_points() -> None:
    assert extent_of(torch.tensor([[0.0, -4.0], [2.0, 1.0]])) == 5
    assert draw_samples(torch.randn(10, 2)).size == (640, 640)


def test_gif_has_all_frames_and_holds_the_last(tmp_path: Path) -> None:
    frames = []
    for k in range(4):
        frames.append(tmp_path / f"{k}.png")
        Image.new("L", (8, 8), 60 * k).save(frames[-1])
    write_gif(tmp_path / "x.gif", frames, milliseconds=100, hold=700)
    with Image.open(tmp_path / "x.gif") as gif:
        durations = []
        for k in range(gif.n_frames):
            gif.seek(k)
            durations.append(gif.info["duration"])
        assert durations == [100, 100, 100, 700]


def test_plane_starts_at_the_top_left_row_by_row() -> None:
    assert plane(2.0, 2).tolist() == [[-1, 1], [1, 1], [-1, -1], [1, -1]]


def test_field_is_blue_for_low_and_orange_for_high_values() -> None:
    places = plane(1.0, 16)
    pixels = np.asarray(field(places[:, 1].view(16, 16), torch.tensor([[0.5, -0.25], [9.0, 0.0]]), 1.0, size=64))
    corners = [pytest.approx(color, abs=2) for color in (FIELD[2], FIELD[0])]
    assert [tuple(map(int, pixels[row, 0])) for row in (0, -1)] == corners  # values increase upwards
    dark = np.argwhere(pixels.sum(2) < 450)
    assert sorted(map(tuple, dark)) == [(38, 48), (38, 49), (39, 48), (39, 49)]


def test_field_of_constant_values_or_nan() -> None:
    for values in (torch.zeros(4, 4), torch.full((4, 4), float("nan"))):
        assert tuple(np.asarray(field(values, torch.zeros(0, 2), 1.0, size=8))[4, 4]) == FIELD[0]


def test_evenly() -> None:
    assert evenly(range(5), 8) == [0, 1, 2, 3, 4]
    assert evenly(range(11), 3) == [0, 5, 10] and evenly(range(21), 6) == [0, 4, 8, 12, 16, 20]


def test_sheet_places_images_in_rows_and_columns() -> None:
    red, wide = Image.new("RGB", (50, 50), "red"), Image.new("L", (40, 20), 0)
    pixels = np.asarray(sheet([("", [red, None]), ("", [None, wide])], ["a", "b"], size=100))
    centers = [[tuple(pixels[58 + 108 * row, 58 + 108 * column]) for column in range(2)] for row in range(2)]
    assert centers == [[(255, 0, 0), (255, 255, 255)], [(255, 255, 255), (0, 0, 0)]]
    assert tuple(pixels[116 + 15, 116 + 50]) == (255, 255, 255)  # a wide image keeps its aspect ratio
    assert pixels[-20:, :108].min() < 100 < pixels[108:116].max()  # titles below


def test_sheet_reserves_space_for_names() -> None:
    image = Image.new("L", (8, 8), 0)
    without, with_name = (sheet([(name, [image])], ["x"]) for name in ("", "model=gan\nlr=0.1"))
    assert with_name.width > without.width + 60
    assert np.asarray(with_name)[:200, :60].min() < 100


def test_sheet_with_captions() -> None:
    rows = [("", [Image.new("L", (20, 20), 0), Image.new("L", (20, 20), 90)])] * 2
    pixels = np.asarray(sheet(rows, ["", ""], size=50, captions=[["0.5", ""], ["", "0.25"]]))
    assert pixels.shape[:2] == (8 + 2 * 78 + 24, 8 + 2 * 58)
    assert [[pixels[33 + 78 * row, 33 + 58 * column, 0] for column in range(2)] for row in range(2)] == [[0, 90]] * 2
    lines = [[pixels[61 + 78 * row :, 10 + 58 * column :][:20, :50].min() for column in range(2)] for row in range(2)]
    assert [[line < 150 for line in row] for row in lines] == [[True, False], [False, True]]


def test_enlarged_by_an_integer_factor() -> None:
    image = torch.tensor([[[-1.0, 1.0], [0.0, 0.5], [1.0, -1.0]]])
    pixels = np.asarray(enlarged(image, size=14))
    assert pixels.shape == (12, 8)  # by 4
    assert pixels[::4, ::4].tolist() == [[0, 255], [128, 191], [255, 0]] and (pixels[:4, :4] == 0).all()
    assert np.asarray(enlarged(torch.zeros(3, 200, 100), size=14)).shape == (200, 100, 3)


def test_strip_is_one_row() -> None:
    images = [Image.new("L", (8, 8), shade) for shade in (0, 100, 200)]
    pixels = np.asarray(strip(images, ["0", "10", "truth"], size=50))
    assert [pixels[30, 33 + 58 * k, 0] for k in range(3)] == [0, 100, 200]


@pytest.mark.parametrize("count", [64, 100])
@pytest.mark.parametrize("classes", range(1, 11))
def test_grids_by_class_are_nearly_square(classes: int, count: int) -> None:
    rows, columns = class_shape(classes, count // classes)
    assert 0.5 <= columns / (classes * rows) <= 2
    assert count // classes <= rows * columns < count // classes + rows  # at most one empty place in a row
    assert class_shape(classes, count // classes, columns=7)[1] == 7


def test_each_class_begins_a_row() -> None:
    """Places without images are background, between classes and at the end of the grid."""
    images = torch.rand(9, 1, 8, 8)
    empty = torch.full((1, 1, 8, 8), BACKGROUND / 127.5 - 1)
    places = torch.cat([images[:5], empty, images[5:], empty, empty])
    expected = with_row_names(image_grid(places, columns=3), ["7", "2"])
    assert draw_by_class(images, [7] * 5 + [2] * 4).tobytes() == expected.tobytes()


@pytest.mark.parametrize("labels", [[3, 3, 3, 3], [0, 1, 2, 3]])
def test_grids_of_one_class_or_one_image_of_each_are_square(labels: list[int]) -> None:
    images = torch.rand(4, 1, 8, 8)
    assert draw_by_class(images, labels, ["a", "b", "c", "d"]).tobytes() == draw_samples(images).tobytes()


def test_names_of_labels() -> None:
    assert names_of([0, 2], ["cat", "dog", "owl"]) == ["cat", "owl"]
    assert names_of([0, 2], ["cat"]) == ["cat", "2"] and names_of([1], None) == ["1"]


def test_names_are_drawn_beside_their_rows() -> None:
    grid = image_grid(torch.full((4, 1, 8, 8), -1.0), columns=2, size=60)
    named = np.asarray(with_row_names(grid, ["x" * 99, ""]))
    width = named.shape[1] - grid.width
    assert (named[:, width:] == np.asarray(grid.convert("RGB"))).all()
    first, second = named[: len(named) // 2, :width], named[len(named) // 2 :, :width]
    assert first.min() < 128 and (second == 255).all() and width < 500


def test_width_and_height_of_a_grid_are_at_most_the_size() -> None:
    """One image of each of ten classes: ten rows."""
    assert image_grid(torch.zeros(10, 1, 8, 8), columns=1, size=640).size == (8 * 8 + 8, 10 * (8 * 8 + 4) + 4)
    assert image_grid(torch.zeros(10, 1, 8, 8), columns=10, size=640).size == (10 * (8 * 8 + 4) + 4, 8 * 8 + 8)
