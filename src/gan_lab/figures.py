"""Figures of samples: grids of images, densities of points, tables of images, animations."""

import base64
import colorsys
import io
import logging
import math
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from gan_lab.files import atomic_write, set_aside

log = logging.getLogger(__name__)

T = TypeVar("T")

BACKGROUND = 32
"""Gray between the images of a grid, 0 to 255."""

INK = (23, 55, 94)
"""RGB of points, and of the densest cell of a density."""

TEXT = (64, 64, 64)
"""RGB of labels in a table."""

FRAME = (208, 208, 208)
"""RGB of the line around an image in a table."""

NAME_LENGTH = 24
"""Longest name of a row, in characters."""

PALETTE_FRAMES = 16
"""Number of frames from which the colors of a GIF are chosen."""

FIELD = ((178, 203, 226), (247, 245, 240), (240, 196, 148))
"""RGB of low, middle and high values of a field: pale, for contrast with points."""


def to_uint8(images: Tensor) -> Tensor:
    """Convert images in [-1, 1], of any shape and float dtype, to uint8 0..255 on the CPU; other values are clamped."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to("cpu", torch.uint8)


def to_image(image: Tensor) -> Image.Image:
    """Convert a uint8 image (C, H, W) with 1, 3 or 4 channels to a Pillow image."""
    array = image.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def png_address(image: Image.Image) -> str:
    """A `data:` address of the image as PNG, which a page can show."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def image_grid(images: Tensor, columns: int | None = None, size: int = 640) -> Image.Image:
    """Draw images (n, C, H, W) in [-1, 1] in a grid, row by row.

    Args:
        images: At least one.
        columns: Images in a row; by default the grid is square.
        size: Approximate longer side in pixels, to which small images are enlarged by an integer factor.
    """
    count, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    scale = max(1, size // max(columns * width, rows * height))
    gap = max(1, scale // 2)
    tiles = to_uint8(images).repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    height, width = height * scale + gap, width * scale + gap
    canvas = torch.full((channels, rows * height + gap, columns * width + gap), BACKGROUND, dtype=torch.uint8)
    for k, tile in enumerate(tiles):
        top, left = gap + k // columns * height, gap + k % columns * width
        canvas[:, top : top + tile.shape[1], left : left + tile.shape[2]] = tile
    return to_image(canvas)


def table_of_mixtures(columns: Tensor, rows: Tensor, mixed: Tensor) -> Image.Image:
    """Draw images (n, C, H, W) in [-1, 1], each below the source of its column and right of the source of its row.

    Args:
        columns: Source of each column, for the first row.
        rows: Source of each row, for the first column.
        mixed: The images, row by row.
    """
    empty = torch.full_like(columns[:1], BACKGROUND / 127.5 - 1)
    lines = [empty, columns]
    for source, images in zip(rows, mixed.split(len(columns)), strict=True):
        lines += [source[None], images]
    return image_grid(torch.cat(lines), len(columns) + 1)


def extent_of(points: Tensor) -> float:
    """Half the width of a square around the origin that contains points (n, 2) with a margin."""
    return 1.25 * points.abs().max().item()


def density(points: Tensor, extent: float, size: int = 640, cells: int = 160) -> Image.Image:
    """Draw the density of points (n, 2) on [-extent, extent]^2: white for no points, dark for the most, y upwards."""
    counts, _ = torch.histogramdd(points.float().cpu(), bins=[cells, cells], range=[-extent, extent] * 2)
    # The square root keeps sparse cells visible next to the densest one.
    ink = (counts / counts.max().clamp(min=1)).sqrt().T.flip(0)
    color = torch.tensor(INK).view(3, 1, 1)
    pixels = (255 - ink * (255 - color)).round().to(torch.uint8)
    return to_image(pixels).resize((size, size), Image.Resampling.NEAREST)


def colored_densities(points: Tensor, numbers: Tensor, extent: float, size: int = 640, cells: int = 160) -> Image.Image:
    """Draw the densities of groups of points (n, 2) on [-extent, extent]^2 over each other, each in its own color.

    Args:
        points: (n, 2).
        numbers: Number of the group of each point, int64 (n,).
        extent: Half the width of the square.
        size: Width and height of the figure in pixels.
        cells: Cells of a density along each axis.
    """
    groups = numbers.unique().tolist()
    counts = [
        torch.histogramdd(points[numbers == k].float().cpu(), bins=[cells, cells], range=[-extent, extent] * 2).hist
        for k in groups
    ]
    ink = torch.stack(counts)  # (groups, x, y)
    ink = (ink / ink.max().clamp(min=1)).sqrt().transpose(1, 2).flip(1)  # (groups, rows, columns)
    colors = torch.tensor([colorsys.hsv_to_rgb(k / (max(groups) + 1), 0.9, 0.75) for k in groups])
    pixels = 255 * (1 - torch.einsum("khw,kc->chw", ink, 1 - colors)).clamp(0, 1)
    return to_image(pixels.round().to(torch.uint8)).resize((size, size), Image.Resampling.NEAREST)


def draw_samples(samples: Tensor, columns: int | None = None, extent: float | None = None) -> Image.Image:
    """Draw samples: a grid for images (n, C, H, W), a density for points (n, 2).

    Args:
        samples: At least one.
        columns: Images in a row of a grid; None for a square.
        extent: Half the width of a density; None for the extent of the points.
    """
    if samples.dim() == 2:
        return density(samples, extent or extent_of(samples))
    return image_grid(samples, columns)


def with_row_names(grid: Image.Image, names: Sequence[str]) -> Image.Image:
    """Draw names to the left of a grid, at equal distances.

    Args:
        grid: The grid.
        names: One for each row, or for each group of rows, of which the first `NAME_LENGTH` characters are drawn.
    """
    shown = [name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…" for name in names]
    row = grid.height / len(names)
    font, gap = ImageFont.load_default(max(8, min(16, row))), 6
    width = round(max(font.getlength(name) for name in shown)) + 2 * gap
    canvas = Image.new("RGB", (width + grid.width, grid.height), "white")
    canvas.paste(grid.convert("RGB"), (width, 0))
    pen = ImageDraw.Draw(canvas)
    for k, name in enumerate(shown):
        pen.text((width - gap, (k + 0.5) * row), name, TEXT, font, anchor="rm")
    return canvas


def with_column_names(grid: Image.Image, names: Sequence[str]) -> Image.Image:
    """Draw names above a grid, at equal distances.

    Args:
        grid: The grid.
        names: One for each column.
    """
    column = grid.width / len(names)
    longest = max(names, key=len)
    size = max(8.0, min(16.0, 0.9 * column * 16 / ImageFont.load_default(16).getlength(longest)))
    font, height = ImageFont.load_default(size), round(size) + 8
    canvas = Image.new("RGB", (grid.width, height + grid.height), "white")
    canvas.paste(grid.convert("RGB"), (0, height))
    pen = ImageDraw.Draw(canvas)
    for k, name in enumerate(names):
        pen.text(((k + 0.5) * column, height / 2), name, TEXT, font, anchor="mm")
    return canvas


def draw_by_class(
    samples: Tensor, labels: Sequence[int], classes: Sequence[str] | None = None, columns: int | None = None
) -> Image.Image:
    """Draw samples as `draw_samples`; images of several classes, more than one of each, as `draw_classes`.

    Args:
        samples: At least one, sorted by class.
        labels: Class of each sample.
        classes: Names of the classes, if they are known.
        columns: Images in a row; None for a near-square grid.
    """
    found = [(label, len(list(group))) for label, group in groupby(labels)]
    most = max(count for _, count in found)
    if samples.dim() == 2 or len(found) == 1 or most == 1:
        return draw_samples(samples, columns)
    groups = samples.split([count for _, count in found])
    return draw_classes(
        groups, names_of([label for label, _ in found], classes), *class_shape(len(found), most, columns)
    )


def class_shape(classes: int, count: int, columns: int | None = None) -> tuple[int, int]:
    """Rows of each class, and images in a row, of a grid for `count` images of each class.

    Args:
        classes: Number of classes, each of which begins a row.
        count: Images of each class.
        columns: Images in a row; None for a near-square grid.
    """
    columns = columns or math.ceil(count / max(1, round(math.sqrt(count / classes))))
    return math.ceil(count / columns), columns


def draw_classes(groups: Sequence[Tensor], names: Sequence[str], rows: int, columns: int) -> Image.Image:
    """Draw the images of each class in rows of their own, with its name to the left of them.

    Args:
        groups: Images (n, C, H, W) in [-1, 1] of each class, of which at most `rows * columns` are drawn.
        names: Name of each class.
        rows: Rows of each class.
        columns: Images in a row.
    """
    blank = groups[0].new_full((rows * columns, *groups[0].shape[1:]), BACKGROUND / 127.5 - 1)
    grid = image_grid(torch.cat([torch.cat([group, blank])[: len(blank)] for group in groups]), columns)
    return with_row_names(grid, names)


def names_of(labels: Iterable[int], classes: Sequence[str] | None) -> list[str]:
    """Names of labels, or their numbers if the classes have no names."""
    return [str(label) if classes is None or label >= len(classes) else classes[label] for label in labels]


def plane(extent: float, cells: int = 128) -> Tensor:
    """Centers of cells x cells squares on [-extent, extent]^2, row by row from the top left; float32 (cells², 2)."""
    steps = (torch.arange(cells) + 0.5) * (2 * extent / cells) - extent
    y, x = torch.meshgrid(steps.flip(0), steps, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1)


def field(values: Tensor, points: Tensor, extent: float, size: int = 640) -> Image.Image:
    """Draw points (n, 2) over a field of values on [-extent, extent]^2: blue for low values, orange for high ones.

    The color range is from the 2nd to the 98th percentile of the values.

    Args:
        values: (rows, columns), with the first row at the top; see `plane`.
        points: Drawn as dark dots; points outside are omitted.
        extent: Half the width of the square.
        size: Width and height of the figure in pixels.
    """
    values = values.float().cpu().nan_to_num()
    low, high = values.flatten().quantile(torch.tensor([0.02, 0.98]))
    shade = ((values - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)  # (rows, columns)
    cold, middle, warm = torch.tensor(FIELD, dtype=torch.float32).view(3, 3, 1, 1)
    color = torch.where(shade < 0.5, torch.lerp(cold, middle, 2 * shade), torch.lerp(middle, warm, 2 * shade - 1))
    ground = to_image(color.round().to(torch.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    counts, _ = torch.histogramdd(points.float().cpu(), bins=[size // 2] * 2, range=[-extent, extent] * 2)
    cover = (255 * (1 - 0.45**counts)).T.flip(0).round().to(torch.uint8)[None]  # dots of two pixels
    ground.paste(INK, mask=to_image(cover).resize((size, size), Image.Resampling.NEAREST))
    return ground


def evenly(items: Sequence[T], count: int) -> list[T]:
    """Select at most `count` evenly spaced items, including the first and the last; `count` is at least 2."""
    if len(items) <= count:
        return list(items)
    return [items[round(k * (len(items) - 1) / (count - 1))] for k in range(count)]


def strip(images: Sequence[Image.Image | None], titles: Sequence[str], size: int = 200) -> Image.Image:
    """Draw images in a row, each fitted into `size` pixels, with titles below."""
    return sheet([("", images)], titles, size)


def enlarged(image: Tensor, size: int = 128) -> Image.Image:
    """Convert an image (C, H, W) in [-1, 1] to Pillow, enlarged by the largest integer factor within `size` pixels."""
    factor = max(1, size // max(image.shape[1:]))
    return to_image(to_uint8(image).repeat_interleave(factor, 1).repeat_interleave(factor, 2))


def sheet(
    rows: Sequence[tuple[str, Sequence[Image.Image | None]]],
    titles: Sequence[str],
    size: int = 200,
    captions: Sequence[Sequence[str]] | None = None,
) -> Image.Image:
    """Draw images in a table, with a name to the left of each row and a title below each column.

    Args:
        rows: Name, which may have several lines, and images from left to right; None for an empty cell.
        titles: Titles of the columns.
        size: Width and height of a cell in pixels, into which its image is fitted.
        captions: A line of text below each image, row by row; None for none.
    """
    font, gap = ImageFont.load_default(16), 8
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    names = max(pen.multiline_textbbox((0, 0), name, font=font)[2] for name, _ in rows)
    left, step = gap + (int(names) + gap if names else 0), size + gap
    down = step if captions is None else step + 20
    canvas = Image.new("RGB", (left + step * len(titles), gap + down * len(rows) + 24), "white")
    pen = ImageDraw.Draw(canvas)
    for row, (name, images) in enumerate(rows):
        top = gap + row * down
        pen.multiline_text((gap, top + size / 2), name, TEXT, font, anchor="lm")
        for column, image in enumerate(images):
            if image is not None:
                fitted = ImageOps.contain(image.convert("RGB"), (size, size), Image.Resampling.LANCZOS)
                x, y = left + column * step + (size - fitted.width) // 2, top + (size - fitted.height) // 2
                canvas.paste(fitted, (x, y))
                pen.rectangle((x - 1, y - 1, x + fitted.width, y + fitted.height), outline=FRAME)
                if captions is not None:
                    pen.text((left + column * step + size / 2, top + size + 3), captions[row][column], TEXT, font, "ma")
    for column, title in enumerate(titles):
        pen.text((left + column * step + size / 2, gap + len(rows) * down), title, TEXT, font, anchor="ma")
    return canvas


def write_gif(path: Path, frames: Sequence[Path], milliseconds: int = 250, hold: int = 2000) -> None:
    """Write images of equal size as a looping animation whose last frame lasts `hold` milliseconds."""
    images = [Image.open(frame).convert("RGB").quantize(64) for frame in frames]
    durations = [milliseconds] * (len(images) - 1) + [hold]
    save_image(images[0], path, save_all=True, append_images=images[1:], duration=durations, loop=0)


def gif_of(frames: Iterable[Image.Image], fps: float) -> bytes:
    """An endless GIF. All frames have the same palette, so that constant pixels do not flicker."""
    converted = [frame.convert("RGB") for frame in frames]
    some = converted[:: -(-len(converted) // PALETTE_FRAMES)]
    width, height = some[0].size
    stacked = Image.new("RGB", (width, height * len(some)))
    for k, frame in enumerate(some):
        stacked.paste(frame, (0, k * height))
    palette = stacked.quantize(256)
    first, *others = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in converted)
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, duration=1000 / fps, loop=0)
    return file.getvalue()


def save_image(image: Image.Image, path: Path, durable: bool = True, **options: Any) -> None:
    """Write an image file atomically, in the format of its extension; the options are those of Pillow's `save`."""
    extension = path.suffix.lower()
    Image.preinit()  # PNG, GIF, JPEG, ...; all formats take long to import
    formats = Image.EXTENSION if extension in Image.EXTENSION else Image.registered_extensions()
    with atomic_write(path, durable) as file:
        image.save(file, formats[extension], **options)


def read_figure(file: Path) -> Image.Image | None:
    """The decoded image of a file in a run folder, which may be untrusted or left incomplete by a killed run.

    None if it is not a regular file, cannot be decoded, or has more pixels than Pillow's limit (179 million).
    """
    if not file.is_file():  # for example a pipe, which would never end
        return None
    try:
        with Image.open(file) as image:
            image.load()
            return image
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def readable_images(files: Iterable[Path]) -> list[Path]:
    """Image files that can be decoded; each damaged one is set aside with a warning, which loses only one frame."""
    readable = []
    for file in files:
        if read_figure(file) is not None:
            readable.append(file)
        elif file.is_file():
            log.warning("%s is damaged: it is left out, and is now %s.", file, set_aside(file).name)
    return readable


def numbered_images(folder: Path, kind: str) -> list[Path]:
    """Files `<kind>_<number>.png` of a folder, by number."""
    found = (file for file in folder.glob(f"{kind}_*.png") if re.fullmatch(rf"{re.escape(kind)}_\d+\.png", file.name))
    return sorted(found, key=lambda file: int(file.stem.rpartition("_")[2]))
