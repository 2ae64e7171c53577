"""Samples as pictures: grids of images, densities of points, animations."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

BACKGROUND = 32
"""Grey between the images of a grid, 0 to 255."""


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1], any shape and float dtype, to uint8 0..255 on the CPU; values outside are clamped."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to("cpu", torch.uint8)


def to_image(image: Tensor) -> Image.Image:
    """One uint8 image (C, H, W) with 1, 3 or 4 channels to a Pillow image."""
    array = image.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def image_grid(images: Tensor, columns: int | None = None, side: int = 640) -> Image.Image:
    """Images (n, C, H, W) in [-1, 1] as one picture, row by row.

    Args:
        images: At least one.
        columns: Images in a row; by default as many as make the grid square.
        side: Small images are enlarged by a whole factor until the picture is about this wide, in pixels.
    """
    count, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    scale = max(1, side // (columns * width))
    gap = max(1, scale // 2)
    tiles = to_uint8(images).repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    height, width = height * scale + gap, width * scale + gap
    canvas = torch.full((channels, rows * height + gap, columns * width + gap), BACKGROUND, dtype=torch.uint8)
    for k, tile in enumerate(tiles):
        top, left = gap + k // columns * height, gap + k % columns * width
        canvas[:, top : top + tile.shape[1], left : left + tile.shape[2]] = tile
    return to_image(canvas)


def extent_of(points: Tensor) -> float:
    """Half the side of a square around the origin that holds points (n, 2) with some room."""
    return 1.25 * points.abs().max().item()


def density(points: Tensor, extent: float, side: int = 640, cells: int = 160) -> Image.Image:
    """Points (n, 2) as a density over [-extent, extent]^2: white for none, dark for the densest cell, second axis upwards."""
    counts, _ = torch.histogramdd(points.float().cpu(), bins=[cells, cells], range=[-extent, extent] * 2)
    # The square root keeps thinly covered places visible beside the densest cell.
    ink = (counts / counts.max().clamp(min=1)).sqrt().T.flip(0)
    colour = torch.tensor([[[23.0]], [[55.0]], [[94.0]]])
    picture = (255 - ink * (255 - colour)).round().to(torch.uint8)
    return to_image(picture).resize((side, side), Image.Resampling.NEAREST)


def picture(samples: Tensor, columns: int | None = None, extent: float | None = None) -> Image.Image:
    """Samples as a picture: a grid for images (n, C, H, W), a density for points (n, 2).

    Args:
        samples: At least one.
        columns: Images in a row of a grid; None for a square.
        extent: Half the side of a density; None for what the points need.
    """
    if samples.dim() == 2:
        return density(samples, extent or extent_of(samples))
    return image_grid(samples, columns)


def write_gif(path: Path, frames: Sequence[Path], milliseconds: int = 250, hold: int = 2000) -> None:
    """Write pictures of one size as an endless animation whose last frame stands for `hold` milliseconds."""
    pictures = [Image.open(frame).convert("RGB").quantize(64) for frame in frames]
    durations = [milliseconds] * (len(pictures) - 1) + [hold]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0)
