"""Image sets before decoding: where the items are, what they are called and how they are labelled."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from gan_lab.errors import DataError

Item = bytes | Path | np.ndarray
"""Encoded bytes, the path of an image file, or pixels as uint8 (H, W) or (H, W, 3)."""


class Items(Protocol):
    """A sequence of items, read one at a time and possibly in several threads or worker processes."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int, /) -> Item: ...


class NumberedNames:
    """Names of items that have none of their own: "image 17 of mnist (train)"."""

    def __init__(self, source: str, count: int) -> None:
        self.source = source
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int, /) -> str:
        return f"image {position} of {self.source}"


class Chosen:
    """Some items or names of a sequence, in a given order."""

    def __init__(self, sequence: Any, positions: Tensor) -> None:
        self.sequence = sequence
        self.positions = positions

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, position: int, /) -> Any:
        return self.sequence[int(self.positions[position])]


class Names(Protocol):
    """What the items are called in messages."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int, /) -> str: ...


@dataclass(frozen=True)
class RawImages:
    """A set of images that are not decoded yet. It can be pickled, so data loader workers can hold it.

    Args:
        items: The images, see `Item`.
        names: One name per image, for messages.
        labels: int64 (N,), or None where there are none.
        classes: Names of the labels 0, 1, …, or None where they are not known.
        split: Which part of a published set these are, such as `train`; None where there are no parts.
    """

    items: Items
    names: Names
    labels: Tensor | None = None
    classes: Sequence[str] | None = None
    split: str | None = None

    def __len__(self) -> int:
        return len(self.items)

    def at(self, positions: Tensor) -> "RawImages":
        """The images at these positions, int64 (M,), with their names and labels."""
        labels = None if self.labels is None else self.labels[positions]
        return replace(self, items=Chosen(self.items, positions), names=Chosen(self.names, positions), labels=labels)

    def name(self, position: int) -> str:
        """What messages call the image at this position."""
        return self.names[position]

    def load(self, position: int) -> Image.Image:
        """Read and decode one image, in whatever mode and size it has.

        Raises:
            DataError: It is missing, empty, truncated, damaged, too large or not an image.
        """
        try:
            return _decode(self.items[position])
        except Exception as error:  # Pillow's decoders raise whatever the damaged bytes lead them to
            raise DataError(f"{self.name(position)} cannot be read: {_reason(error)}.") from error


def _decode(item: Item) -> Image.Image:
    """Pixels of one item; the file behind a path is closed again."""
    if isinstance(item, np.ndarray):
        return Image.fromarray(item)
    encoded = item.read_bytes() if isinstance(item, Path) else item
    if not encoded:
        raise ValueError("the file is empty")
    image = Image.open(BytesIO(encoded))
    image.load()
    return image


def _reason(error: Exception) -> str:
    """The cause of a failed read in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image that Pillow can decode"
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels, the safety limit of Pillow"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, zlib.error):
        return f"its compressed data are damaged ({error})"
    return str(error).rstrip(".") or type(error).__name__
