"""From a decoded image of any mode and size to a square uint8 tensor."""

import contextlib
from dataclasses import dataclass

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from gan_lab.data.raw import RawImages
from gan_lab.errors import DataError

FITS = ("crop", "pad", "stretch")
"""How an image is made square: see `to_tensor`."""

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Decoder:
    """What turns the raw images into tensors of one shape; see `to_tensor` for the arguments.

    Args:
        min_side: Images whose shorter side has fewer pixels are refused.
    """

    channels: int
    resolution: int
    fit: str = "crop"
    background: int = 255
    min_side: int = 2

    def __call__(self, raw: RawImages, position: int) -> Tensor:
        """Decode one image to uint8 (C, H, W).

        Raises:
            DataError: The image cannot be read or is too small.
        """
        image = raw.load(position)
        width, height = image.size
        if min(width, height) < self.min_side:
            raise DataError(
                f"{raw.name(position)} is {width}x{height} pixels, smaller than dataset.min_side={self.min_side}; "
                "remove it, or give a smaller dataset.min_side or dataset.on_error=skip."
            )
        return to_tensor(image, self.channels, self.resolution, self.fit, self.background)


def to_tensor(image: Image.Image, channels: int, resolution: int, fit: str = "crop", background: int = 255) -> Tensor:
    """Convert an image of any mode to a square uint8 tensor, (channels, resolution, resolution).

    The EXIF orientation is applied; of an animation the first frame is taken; 16-bit values are scaled to 8 bits.

    Args:
        image: A loaded image.
        channels: 1 grey, 3 RGB, 4 RGBA.
        resolution: Side of the result in pixels.
        fit: "crop" scales the shorter side to `resolution` and cuts the centre out; "pad" centres on the background and
            only ever shrinks; "stretch" scales both sides.
        background: Grey value in 0..255 below transparent pixels and around padded images. With four channels
            transparency is kept, and the padding is transparent.
    """
    image = _to_mode(_upright(image), channels, background)
    image = _to_square(image, resolution, fit, background)
    pixels = torch.from_numpy(np.array(image))  # (H, W) or (H, W, C)
    return pixels.unsqueeze(0) if channels == 1 else pixels.permute(2, 0, 1).contiguous()


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; a damaged EXIF block says nothing about the pixels and is ignored."""
    with contextlib.suppress(Exception):
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            return ImageOps.exif_transpose(image)
    return image


def _to_mode(image: Image.Image, channels: int, background: int) -> Image.Image:
    """Convert to L, RGB or RGBA, with transparency laid over the background unless there is a channel for it."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_8_bits(image)
    if image.mode == "LAB":
        image = image.convert("RGB")  # Pillow has no direct way from LAB to grey
    if channels == 4:
        return image.convert("RGBA")
    if image.has_transparency_data:
        image = _composite(image.convert("RGBA"), background)
    return image.convert(_MODES[channels])


def _composite(image: Image.Image, background: int) -> Image.Image:
    """Lay an RGBA image over a grey value: RGB."""
    canvas = Image.new("RGBA", image.size, (background, background, background, 255))
    return Image.alpha_composite(canvas, image).convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale I;16, I and F images to L; Pillow's own conversion clips them at 255.

    The modes I and F do not tell the range of their values: what exceeds 255 is taken for 16 bits, and F that stays
    below 1 for a fraction of white.
    """
    values = np.asarray(image).astype(np.float64)
    peak = values.max()
    if image.mode == "F" and peak <= 1:
        values = values * 255
    elif image.mode.startswith("I;16") or image.format in ("PNG", "PPM") or peak > 255:
        values = values / 257
    return Image.fromarray(np.rint(np.nan_to_num(values)).clip(0, 255).astype(np.uint8))


def _to_square(image: Image.Image, resolution: int, fit: str, background: int) -> Image.Image:
    """Resize with antialiasing to `resolution` x `resolution`."""
    width, height = image.size
    if fit == "pad":
        return _pad(image, resolution, background)
    if fit == "stretch":
        return image.resize((resolution, resolution), Image.Resampling.LANCZOS)
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return image.resize((resolution, resolution), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side))


def _pad(image: Image.Image, resolution: int, background: int) -> Image.Image:
    """Shrink to fit if need be, and centre on the background."""
    width, height = image.size
    scale = min(1.0, resolution / max(width, height))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    colour = {"L": (background,), "RGB": (background,) * 3, "RGBA": (background,) * 3 + (0,)}[image.mode]
    canvas = Image.new(image.mode, (resolution, resolution), colour if len(colour) > 1 else background)
    canvas.paste(image, ((resolution - image.width) // 2, (resolution - image.height) // 2))
    return canvas
