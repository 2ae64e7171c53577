"""Pictures: pixel values, layout, orientation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gan_lab.pictures import BACKGROUND, density, extent_of, image_grid, picture, to_uint8, write_gif


def test_pixel_values() -> None:
    values = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
    assert to_uint8(values).tolist() == [0, 0, 128, 255, 255]
    every = torch.arange(256)
    assert torch.equal(to_uint8(every / 127.5 - 1), every.to(torch.uint8))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_grid_places_images_row_by_row(channels: int, mode: str) -> None:
    images = torch.linspace(-1, 1, 6).view(6, 1, 1, 1).expand(6, channels, 4, 4)
    grid = image_grid(images, columns=3, side=1)
    pixels = np.asarray(grid).reshape(grid.height, grid.width, channels)
    assert grid.mode == mode and pixels.shape[:2] == (2 * 5 + 1, 3 * 5 + 1)
    centres = [pixels[3 + 5 * row, 3 + 5 * column, 0] for row in range(2) for column in range(3)]
    assert centres == to_uint8(images[:, 0, 0, 0]).tolist()
    assert (pixels[0] == BACKGROUND).all() and (pixels[:, 5] == BACKGROUND).all()


def test_small_images_are_enlarged_by_a_whole_factor_and_large_ones_left() -> None:
    assert image_grid(torch.zeros(4, 1, 8, 8), side=640).width >= 640
    assert image_grid(torch.zeros(1, 3, 128, 128), side=64).size == (130, 130)
    assert image_grid(torch.zeros(5, 1, 8, 8), side=1).size == (3 * 9 + 1, 2 * 9 + 1)


def test_density_is_dark_where_points_are_with_the_second_axis_upwards() -> None:
    pixels = np.asarray(density(torch.tensor([[2.5, 2.5], [2.5, 2.5], [-2.5, -2.5]]), extent=3, side=60, cells=6))
    assert tuple(pixels[5, 55]) == (23, 55, 94)  # upper right: most points
    assert tuple(pixels[5, 5]) == (255, 255, 255)
    assert 23 < pixels[55, 5, 0] < 255  # lower left: fewer


def test_density_without_points_inside_is_white() -> None:
    assert np.asarray(density(torch.full((3, 2), 9.0), extent=1)).min() == 255


def test_extent_holds_all_points() -> None:
    assert extent_of(torch.tensor([[0.0, -4.0], [2.0, 1.0]])) == 5
    assert picture(torch.randn(10, 2)).size == (640, 640)


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
