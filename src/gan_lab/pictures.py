"""Samples as pictures: grids of images, densities of points, animations."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

T = TypeVar("T")

BACKGROUND = 32
"""Grey between the images of a grid, 0 to 255."""

INK = (23, 55, 94)
"""RGB of points, and of the densest cell of a density."""

TEXT = (64, 64, 64)
"""RGB of names and titles."""

FRAME = (208, 208, 208)
"""RGB of the line around a picture on a sheet."""

FIELD = ((178, 203, 226), (247, 245, 240), (240, 196, 148))
"""RGB of low, middle and high values of a field: pale, so that points stand out."""


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
    colour = torch.tensor(INK).view(3, 1, 1)
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


def plane(extent: float, cells: int = 128) -> Tensor:
    """Centres of cells x cells squares of [-extent, extent]^2, row by row from the upper left, float32 (cells², 2)."""
    steps = (torch.arange(cells) + 0.5) * (2 * extent / cells) - extent
    y, x = torch.meshgrid(steps.flip(0), steps, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1)


def field(values: Tensor, points: Tensor, extent: float, side: int = 640) -> Image.Image:
    """Points (n, 2) over a field of values on [-extent, extent]^2: blue for low values, orange for high ones.

    The colours span the values from the 2nd to the 98th percentile, whatever their scale.

    Args:
        values: (rows, columns), the first row on top; see `plane`.
        points: Dark dots; what lies outside is left out.
        extent: Half the side of the square.
        side: Of the picture, in pixels.
    """
    values = values.float().cpu().nan_to_num()
    low, high = values.flatten().quantile(torch.tensor([0.02, 0.98]))
    shade = ((values - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)  # (rows, columns)
    cold, middle, warm = torch.tensor(FIELD, dtype=torch.float32).view(3, 3, 1, 1)
    colour = torch.where(shade < 0.5, torch.lerp(cold, middle, 2 * shade), torch.lerp(middle, warm, 2 * shade - 1))
    ground = to_image(colour.round().to(torch.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    counts, _ = torch.histogramdd(points.float().cpu(), bins=[side // 2] * 2, range=[-extent, extent] * 2)
    cover = (255 * (1 - 0.45**counts)).T.flip(0).round().to(torch.uint8)[None]  # dots of two pixels
    ground.paste(INK, mask=to_image(cover).resize((side, side), Image.Resampling.NEAREST))
    return ground


def evenly(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of the items, at least 2, evenly spread, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[round(k * (len(items) - 1) / (count - 1))] for k in range(count)]


def strip(pictures: Sequence[Image.Image], titles: Sequence[str], side: int = 200) -> Image.Image:
    """Pictures side by side, `side` pixels each, with their titles below."""
    return sheet([("", pictures)], titles, side)


def enlarged(image: Tensor, side: int = 128) -> Image.Image:
    """An image (C, H, W) in [-1, 1] as a picture, enlarged by the whole factor that brings it nearest below `side` pixels."""
    factor = max(1, side // max(image.shape[1:]))
    return to_image(to_uint8(image).repeat_interleave(factor, 1).repeat_interleave(factor, 2))


def sheet(
    rows: Sequence[tuple[str, Sequence[Image.Image | None]]],
    titles: Sequence[str],
    side: int = 200,
    captions: Sequence[Sequence[str]] | None = None,
) -> Image.Image:
    """Pictures in a table with a name before each row and a title below each column.

    Args:
        rows: Name, which may have several lines, and pictures from left to right; None leaves a place empty.
        titles: One for each column.
        side: Of the square that a picture is fitted into, in pixels.
        captions: A line below each picture, row by row; None for none.
    """
    font, gap = ImageFont.load_default(16), 8
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    names = max(pen.multiline_textbbox((0, 0), name, font=font)[2] for name, _ in rows)
    left, step = gap + (int(names) + gap if names else 0), side + gap
    down = step if captions is None else step + 20
    canvas = Image.new("RGB", (left + step * len(titles), gap + down * len(rows) + 24), "white")
    pen = ImageDraw.Draw(canvas)
    for row, (name, pictures) in enumerate(rows):
        top = gap + row * down
        pen.multiline_text((gap, top + side / 2), name, TEXT, font, anchor="lm")
        for column, image in enumerate(pictures):
            if image is not None:
                fitted = ImageOps.contain(image.convert("RGB"), (side, side), Image.Resampling.LANCZOS)
                x, y = left + column * step + (side - fitted.width) // 2, top + (side - fitted.height) // 2
                canvas.paste(fitted, (x, y))
                pen.rectangle((x - 1, y - 1, x + fitted.width, y + fitted.height), outline=FRAME)
                if captions is not None:
                    pen.text((left + column * step + side / 2, top + side + 3), captions[row][column], TEXT, font, "ma")
    for column, title in enumerate(titles):
        pen.text((left + column * step + side / 2, gap + len(rows) * down), title, TEXT, font, anchor="ma")
    return canvas


def write_gif(path: Path, frames: Sequence[Path], milliseconds: int = 250, hold: int = 2000) -> None:
    """Write pictures of one size as an endless animation whose last frame stands for `hold` milliseconds."""
    pictures = [Image.open(frame).convert("RGB").quantize(64) for frame in frames]
    durations = [milliseconds] * (len(pictures) - 1) + [hold]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0)
