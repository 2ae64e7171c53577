"""Gray values of images whose mode does not define their range, and sets of low contrast."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
from PIL import Image
from torch import Tensor

from gan_lab.data.raw import Raw, UnusableImage
from gan_lab.ranks import is_first_process

log = logging.getLogger(__name__)

TRIED = 32
"""Images, evenly spaced, from which the range of a set is found, and its gray values if it is not cached."""

WHITES: Mapping[str, Sequence[int]] = {"F": (1, 255, 65535), "I": (255, 65535)}
"""Possible values of white in Pillow's modes that define none."""

OVERSHOOT = 0.3
"""Excess over black and white, as a fraction of white, that is clamped for images of 1 and of 255.

Resizing with Pillow's Lanczos filter overshoots by 12 % of the contrast at an edge and by 25 % at a corner. No range is
mistaken for another: the next larger white is 255 times as large, and such an image would be black.
"""

LEAST_SPAN = 32
"""A set whose gray values span fewer of the 256 is nearly always one whose values were scaled wrongly."""


def to_8_bits(image: Image.Image, white: int | None = None) -> Image.Image:
    """Scale an image of mode I;16, I or F to mode L; Pillow's own conversion clips at 255.

    Args:
        image: The image.
        white: Value of white, if the mode is one of `WHITES`; None for the smallest one that the values allow.

    Raises:
        ValueError: The values exceed the range by more than is clamped, or are NaN.
    """
    values = np.asarray(image).astype(np.float64)
    if not _is_undefined(image):
        white = 65535
    lowest, peak = values.min(), values.max()
    found = (_white(image.mode, peak) or 0) if white is None else white
    if not -_excess(found) <= lowest <= peak <= found + _excess(found):  # also for NaN
        known = "only values from 0 to 1, to 255 or to 65535 have a known range"
        others = f"those of other images of the set are from 0 to {white}"
        raise ValueError(f"its values are from {lowest:g} to {peak:g}, and {known if white is None else others}")
    return Image.fromarray(np.rint(values * 255 / found).clip(0, 255).astype(np.uint8))


def with_whites(raw: Raw, source: str) -> Raw:
    """The images with one value of white for each mode of `WHITES`: the largest that one of `TRIED` images needs.

    A decision for each image would make the dark images of a set as bright as the others. If the images
    disagree, a warning counts those that need the smallest.

    Args:
        raw: The images.
        source: Where they are from, for the warning.
    """
    found: dict[str, list[int]] = {}
    for position, header in zip(raw.spaced(TRIED), raw.headers(TRIED), strict=True):
        if header is None or header.mode not in WHITES:
            continue
        with suppress(UnusableImage):  # reported where it is used
            image = raw.load(position)
            peak = float(np.asarray(image).max())
            if _is_undefined(image) and peak > 0 and (white := _white(image.mode, peak)):
                found.setdefault(image.mode, []).append(white)
    for whites in found.values():
        if len(set(whites)) > 1 and is_first_process():
            log.warning(
                f"{whites.count(min(whites))} of {len(whites)} images of {source} that were checked have values from 0 "
                f"to {min(whites)}, and others to {max(whites)}: all are read as values from 0 to {max(whites)}, so "
                "the former are nearly black; scale the values of all images alike."
            )
    return replace(raw, whites={mode: max(whites) for mode, whites in found.items()})


def warn_of_low_contrast(images: Tensor, source: str) -> None:
    """Log a warning if the gray values of images span fewer than `LEAST_SPAN`.

    Args:
        images: uint8 (N, C, H, W), with C of 1 or 3.
        source: Where they are from, for the message.
    """
    lowest, highest = (int(value) for value in images.aminmax())
    if highest - lowest < LEAST_SPAN:
        log.warning(
            f"All images of {source} use only the gray values from {lowest} to {highest}, of 0 (black) to 255 (white), "
            "as masks of 0 and 1 and 12-bit images in 16-bit files do; scale their values first, unless this is "
            "intended."
        )


def _is_undefined(image: Image.Image) -> bool:
    """Whether neither the mode nor the file format defines white."""
    return image.mode in WHITES and image.format not in ("PNG", "PPM")  # these have 16 bits in mode I


def _white(mode: str, peak: float) -> int | None:
    """The smallest value of white that allows a value; None if there is none."""
    return next((white for white in WHITES[mode] if peak <= white + _excess(white)), None)


def _excess(white: int) -> float:
    """How far a value may exceed black and white; not for 16 bits, beyond which no range is known."""
    return OVERSHOOT * white if white < 65535 else 0.0
