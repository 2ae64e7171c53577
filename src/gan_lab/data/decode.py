"""Conversion of images of any mode and size to square uint8 tensors."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from gan_lab.data.arguments import check_at_least, check_choice
from gan_lab.data.raw import RawImages, UnusableImage
from gan_lab.data.value_range import to_8_bits
from gan_lab.errors import ConfigError, DataError

FITS = ("crop", "pad", "stretch")
"""Allowed methods to make an image square; see `to_tensor`."""

FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
    "reduced": Image.Resampling.LANCZOS,
}
"""Allowed filters for resizing; for `reduced` see `Decoder`."""

REDUCED = 2
"""JPEG files decoded at a reduced size have at least this times the resolution."""

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def check_channels(key: str, channels: int) -> None:
    """Raise ConfigError if images cannot have this number of channels."""
    if channels not in _MODES:
        raise ConfigError(f"{key}={channels} is not possible; choose 1 (gray), 3 (RGB) or 4 (RGBA).")


@dataclass(frozen=True)
class Decoder:
    """Conversion of raw images to tensors of one shape; see `to_tensor` for the arguments.

    With the filter "reduced", JPEG files of at least 4 times the resolution are decoded at 1/2, 1/4 or 1/8 of their
    size, and the rest is done by "lanczos". This is several times faster for photographs of a camera, but gives other
    pixels: so it is a choice, and the values of metrics with it are another data set's.

    Args:
        min_resolution: Images whose shorter side has fewer pixels are refused.

    Raises:
        ConfigError: A value is not allowed.
    """

    channels: int
    resolution: int
    fit: str = "crop"
    background: int = 255
    min_resolution: int = 2
    filter: str = "lanczos"

    def __post_init__(self) -> None:
        check_at_least("dataset.resolution", self.resolution, 1)
        check_channels("dataset.channels", self.channels)
        check_choice("dataset.fit", self.fit, FITS)
        check_choice("dataset.filter", self.filter, tuple(FILTERS))
        if not 0 <= self.background <= 255:
            raise ConfigError(
                f"dataset.background={self.background} is not a gray value; give one from 0 (black) to 255 (white)."
            )
        check_at_least("dataset.min_resolution", self.min_resolution, 1)

    def __call__(self, raw: RawImages, position: int) -> Tensor:
        """Decode one image to uint8 (C, H, W).

        Raises:
            UnusableImage: The image cannot be read, is too small, or has values of an unknown range.
        """
        least = max(REDUCED * self.resolution, self.min_resolution) if self.filter == "reduced" else None
        return self.convert(raw.load(position, least), raw.name(position), raw.whites)

    def convert(self, image: Image.Image, name: str, whites: Mapping[str, int] | None = None) -> Tensor:
        """Convert one loaded image to uint8 (C, H, W).

        Args:
            image: The image.
            name: Its name, for messages.
            whites: See `RawImages`.

        Raises:
            UnusableImage: The image is too small, or has values of an unknown range.
        """
        width, height = image.size
        if min(width, height) < self.min_resolution:
            raise UnusableImage(
                f"{name} is {width}x{height} pixels, smaller than "
                f"dataset.min_resolution={self.min_resolution}; remove it, or give a smaller dataset.min_resolution.",
                f"below dataset.min_resolution={self.min_resolution}",
            )
        try:
            white = (whites or {}).get(image.mode)
            return to_tensor(image, self.channels, self.resolution, self.fit, self.background, self.filter, white)
        except ValueError as error:
            raise UnusableImage(f"{name} cannot be converted: {error}.", "of unknown range") from error


class LabelMapDecoder(Decoder):
    """Decoder that never mixes the colors of label maps: images with a palette are resized by nearest neighbor.

    They become the colors of their palette. For label maps without a palette, choose the filter "nearest".
    """

    def convert(self, image: Image.Image, name: str, whites: Mapping[str, int] | None = None) -> Tensor:
        """See `Decoder.convert`."""
        decoder = replace(self, filter="nearest") if image.mode == "P" else self
        return super(LabelMapDecoder, decoder).convert(image, name, whites)


class ImageDecoder(Protocol):
    """Interface of decoders of the images of a set, or of its pairs."""

    @property
    def channels(self) -> int:
        """Channels of a decoded image."""

    @property
    def resolution(self) -> int:
        """Width and height of a decoded image in pixels."""

    def __call__(self, raw: Any, position: int, /) -> Tensor:
        """Decode one image to uint8 (channels, resolution, resolution).

        Raises:
            UnusableImage: The image cannot be used.
        """


def refused(error: DataError) -> DataError:
    """The error of an image that cannot be used, with the setting that trains without such images."""
    return DataError(f"{str(error).rstrip('.')}; dataset.on_error=skip leaves such images out.")


def to_tensor(
    image: Image.Image,
    channels: int,
    resolution: int,
    fit: str = "crop",
    background: int = 255,
    filter: str = "lanczos",
    white: int | None = None,
) -> Tensor:
    """Convert an image of any mode to a square uint8 tensor, (channels, resolution, resolution).

    The EXIF orientation is applied; of an animation the first frame is taken; values of more bits are scaled to 8.

    Args:
        image: A loaded image.
        channels: 1 gray, 3 RGB, 4 RGBA.
        resolution: Width and height of the result in pixels.
        fit: "crop" scales the shorter side to `resolution` and crops the center; "pad" centers on the background and
            never enlarges; "stretch" scales width and height separately.
        background: Gray value in 0..255 below transparent pixels and around padded images. With four channels
            transparency stays, and the padding is transparent.
        filter: "lanczos", "bicubic", "nearest", or "box": the mean of the pixels below each new pixel. "reduced" is
            "lanczos" for a loaded image.
        white: See `to_8_bits`, which converts gray images with more bits.

    Raises:
        ValueError: The values have no known range.
    """
    image = _to_mode(upright(image), channels, background, white)
    return _pixels(_to_square(image, resolution, fit, background, FILTERS[filter]))


def to_pixels(
    image: Image.Image, channels: int, background: int = 255, shorter_side: int | None = None, filter: str = "lanczos"
) -> Tensor:
    """Convert an image of any mode to a uint8 tensor of its proportions, (channels, height, width).

    Args:
        image: A loaded image; see `to_tensor`.
        channels: 1 gray, 3 RGB, 4 RGBA.
        background: Gray value in 0..255 below transparent pixels.
        shorter_side: Height or width of the result in pixels, whichever is smaller; None for the image's own size.
        filter: As in `to_tensor`; an image with a palette, which may be a label map, is resized by nearest neighbor.

    Raises:
        ValueError: Its values have no known range.
    """
    filter = "nearest" if image.mode == "P" else filter
    image = _to_mode(upright(image), channels, background)
    if shorter_side is not None:
        scale = shorter_side / min(image.size)
        width, height = (max(shorter_side, round(scale * length)) for length in image.size)
        image = image.resize((width, height), FILTERS[filter])
    return _pixels(image)


def _pixels(image: Image.Image) -> Tensor:
    """The pixels of an L, RGB or RGBA image, uint8 (C, H, W)."""
    pixels = torch.from_numpy(np.array(image))  # (H, W) or (H, W, C)
    return pixels.unsqueeze(0) if pixels.dim() == 2 else pixels.permute(2, 0, 1).contiguous()


def upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation of an image; a damaged EXIF block is ignored, since the pixels do not depend on it."""
    with contextlib.suppress(Exception):
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            return ImageOps.exif_transpose(image)
    return image


def _to_mode(image: Image.Image, channels: int, background: int, white: int | None = None) -> Image.Image:
    """Convert to L, RGB or RGBA, compositing transparency over the background unless there is an alpha channel."""
    if image.mode.startswith("I") or image.mode == "F":
        image = to_8_bits(image, white)
    if image.mode == "LAB":
        image = image.convert("RGB")  # Pillow has no direct conversion from LAB to gray
    if channels == 4:
        return image.convert("RGBA")
    if image.has_transparency_data:
        image = _composite(image.convert("RGBA"), background)
    return image.convert(_MODES[channels])


def _composite(image: Image.Image, background: int) -> Image.Image:
    """Composite an RGBA image over a gray value, to RGB."""
    canvas = Image.new("RGBA", image.size, (background, background, background, 255))
    return Image.alpha_composite(canvas, image).convert("RGB")


def _to_square(image: Image.Image, resolution: int, fit: str, background: int, filter: Image.Resampling) -> Image.Image:
    """Resize with antialiasing to `resolution` x `resolution`."""
    width, height = image.size
    if fit == "pad":
        return _pad(image, resolution, background, filter)
    if fit == "stretch":
        return image.resize((resolution, resolution), filter)
    size = min(width, height)
    left, top = (width - size) / 2, (height - size) / 2
    return image.resize((resolution, resolution), filter, box=(left, top, left + size, top + size))


def _pad(image: Image.Image, resolution: int, background: int, filter: Image.Resampling) -> Image.Image:
    """Shrink to fit if necessary, and center on the background."""
    width, height = image.size
    scale = min(1.0, resolution / max(width, height))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = image.resize(size, filter)
    color = {"L": (background,), "RGB": (background,) * 3, "RGBA": (background,) * 3 + (0,)}[image.mode]
    canvas = Image.new(image.mode, (resolution, resolution), color if len(color) > 1 else background)
    canvas.paste(image, ((resolution - image.width) // 2, (resolution - image.height) // 2))
    return canvas
