"""Image sets before decoding: items, names and labels."""

import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from gan_lab.errors import DataError

MAX_FILE_BYTES = 2**30
"""Largest image file that is read; larger ones are not images, or would take all memory."""

Raw = TypeVar("Raw", bound="RawImages")

Item = bytes | Path | np.ndarray
"""Encoded bytes, the path of an image file, or pixels as uint8 (H, W) or (H, W, 3)."""


class Items(Protocol):
    """Sequence of items, whose reads may run in several threads or worker processes."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int, /) -> Item: ...


class NumberedNames:
    """Numbered names for items without names: "image 17 of mnist (train)"."""

    def __init__(self, source: str, count: int) -> None:
        self.source = source
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int, /) -> str:
        return f"image {position} of {self.source}"


class Selection:
    """The items or names of a sequence at given positions, in their order."""

    def __init__(self, sequence: Any, positions: Tensor) -> None:
        self.sequence = sequence
        self.positions = positions

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, position: int, /) -> Any:
        return self.sequence[int(self.positions[position])]


def file_size(items: Any, position: int) -> int | None:
    """Size in bytes of the file of an item, which is not read; None for items that are not files."""
    while isinstance(items, Selection):
        items, position = items.sequence, int(items.positions[position])
    return items.file_size(position) if hasattr(items, "file_size") else None


class Names(Protocol):
    """Sequence of the items' names in messages."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int, /) -> str: ...


@dataclass(frozen=True)
class RawImages:
    """An image set before decoding. It can be pickled for the workers of data loaders.

    Args:
        items: The images, see `Item`.
        names: One name per image, for messages.
        labels: int64 (N,), or None.
        classes: Names of the labels 0, 1, …, or None if unknown.
        split: Split of a published data set, such as `train`; None if it has no splits.
        unlabeled: Why folders of the images are not classes, for messages; empty if there are none, or labels.
        whites: Value of white of the set in modes of Pillow that define none; see `with_whites`.
    """

    items: Items
    names: Names
    labels: Tensor | None = None
    classes: Sequence[str] | None = None
    split: str | None = None
    unlabeled: str = ""
    whites: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.items)

    def at(self: Raw, positions: Tensor) -> Raw:
        """The images at these positions, int64 (M,), with their names and labels."""
        labels = None if self.labels is None else self.labels[positions]
        return replace(
            self, items=Selection(self.items, positions), names=Selection(self.names, positions), labels=labels
        )

    def name(self, position: int) -> str:
        """Name of the image at this position, for messages."""
        return self.names[position]

    def spaced(self, count: int) -> range:
        """Positions of at most `count` evenly spaced images."""
        return range(0, len(self), max(1, -(-len(self) // count)))

    def headers(self, count: int) -> list["Header | None"]:
        """Headers of the images at `spaced`; None for unreadable ones."""
        found: list[Header | None] = []
        for position in self.spaced(count):
            header = None
            with suppress(Exception):  # Pillow's decoders raise many types; `load` reports them
                header = _header(self.items[position])
            found.append(header)
        return found

    def load(self, position: int, least: int | None = None) -> Image.Image:
        """Read and decode one image, in its own mode and size.

        Args:
            position: Position of the image.
            least: Pixels of the shorter side that are enough: a JPEG file that has at least twice as many is decoded
                at 1/2, 1/4 or 1/8 of its size, which is faster. None for the complete size.

        Raises:
            UnusableImage: The item is missing, empty, truncated, damaged, too large or not an image.
        """
        try:
            return _decode(self.items[position], least)
        except Exception as error:  # Pillow's decoders raise many types for damaged bytes
            kind = "cannot be read" if isinstance(error, OSError) and error.strerror else "cannot be decoded"
            raise UnusableImage(f"{self.name(position)} cannot be read: {_reason(error)}.", kind) from error


class UnusableImage(DataError):
    """An image that cannot be used.

    Attributes:
        kind: Short reason, such as `cannot be decoded`, by which such images are counted.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type["UnusableImage"], tuple[str, str]]:
        """For errors of worker processes."""
        return type(self), (str(self), self.kind)


def counts_by_kind(kinds: Mapping[str, int]) -> str:
    """Numbers of unusable images by kind: `3 cannot be decoded, 2 below dataset.min_resolution=2`."""
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items(), key=lambda each: -each[1]))


class Header(NamedTuple):
    """Width and height in pixels, and Pillow's color mode."""

    size: tuple[int, int]
    mode: str


def shortened(items: Sequence[str], limit: int = 10) -> str:
    """The first items, and how many more there are."""
    rest = f", and {len(items) - limit:,} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + rest


def _header(item: Item) -> Header:
    """Size and color mode, without decoding the pixels."""
    if isinstance(item, np.ndarray):
        return Header((item.shape[1], item.shape[0]), "L" if item.ndim == 2 else "RGB")
    with Image.open(item if isinstance(item, Path) else BytesIO(item)) as image:
        return Header(image.size, image.mode)


def _decode(item: Item, least: int | None = None) -> Image.Image:
    """Decode one item, see `RawImages.load`; the file of a path is closed."""
    if isinstance(item, np.ndarray):
        return Image.fromarray(item)
    if isinstance(item, Path) and item.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"it has more than {MAX_FILE_BYTES >> 20} MiB, the limit for an image")
    encoded = item.read_bytes() if isinstance(item, Path) else item
    if not encoded:
        raise ValueError("the file is empty")
    image = Image.open(BytesIO(encoded))
    if least is not None and image.format == "JPEG":
        image.draft(image.mode, (least, least))
    image.load()
    return image


def _reason(error: Exception) -> str:
    """Short description of the cause of a failed read."""
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image that Pillow can decode"
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels, the safety limit of Pillow"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, zlib.error):
        return f"its compressed data are damaged ({error})"
    return str(error).rstrip(".") or type(error).__name__
