"""A prepared pyramid: images that were decoded once, as one array for each resolution, in a folder with a description."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_lab.data.raw import RawImages
from gan_lab.errors import DataError

DESCRIPTION = "pyramid.json"
LABELS = "labels.npy"
NAMES = "names.json"
SMALLEST = 4
"""Side of the smallest images, which networks that grow begin with."""


@dataclass(frozen=True)
class Pyramid:
    """What the file `pyramid.json` says of the arrays beside it.

    Args:
        source: Where the images came from.
        content: `gan_lab.data.content.fingerprint` of the source.
        decoder: How they were decoded: the arguments of `gan_lab.data.decode.Decoder`.
        resolutions: Sides of the arrays in pixels, ascending.
        count: Rows of every array; image k of the source is row k.
        classes: Names of the labels, or None.
        split: Part of a published set, or None.
        skipped: Row to name of the images that could not be read; their rows are black and are never used.
        version: Of this layout.
    """

    source: str
    content: str
    decoder: dict[str, Any]
    resolutions: list[int]
    count: int
    classes: list[str] | None = None
    split: str | None = None
    skipped: dict[int, str] = field(default_factory=dict)
    version: int = 1

    @property
    def channels(self) -> int:
        """1 grey, 3 RGB, 4 RGBA."""
        return int(self.decoder["channels"])

    def shape(self, side: int) -> tuple[int, int, int, int]:
        """Of the array of this side."""
        return (self.count, self.channels, side, side)

    def is_made_of(self, other: "Pyramid") -> bool:
        """Whether both come from the same images in the same way, wherever these lie."""
        ours, theirs = ((p.content, p.decoder, p.resolutions, p.count, p.version) for p in (self, other))
        return ours == theirs

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self), indent=1))


def read_description(source: str) -> Pyramid:
    """The description in a prepared folder; `~` is the home folder.

    Raises:
        DataError: There is none that this version can read.
    """
    file = Path(source).expanduser() / DESCRIPTION
    try:
        words = json.loads(file.read_text())
        return Pyramid(**{**words, "skipped": {int(row): name for row, name in words["skipped"].items()}})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"dataset.source={source} is no prepared data set, for it has no readable {DESCRIPTION}: make one with "
            "gan-lab prepare."
        ) from error


def sides_from(resolution: int) -> list[int]:
    """The resolution halved while it is even and the result not below 4, ascending."""
    sides = [resolution]
    while sides[-1] % 2 == 0 and sides[-1] // 2 >= SMALLEST:
        sides.append(sides[-1] // 2)
    return sides[::-1]


def smaller_images(image: Tensor, sides: Sequence[int]) -> dict[int, Tensor]:
    """An image at each of these sides, by repeated averages of 2x2 pixels.

    The averages stay float32, where those of up to 256x256 pixels are exact. Each result is rounded once, to even at halves:
    so it is what pooling the full image gives, but for at most half a grey level.

    Args:
        image: uint8 (C, R, R).
        sides: R / 2^k each.

    Returns:
        Side to uint8 (C, side, side).
    """
    found, level = {}, image.float()
    while True:
        if level.shape[-1] in sides:
            found[level.shape[-1]] = level.round().to(torch.uint8)
        if level.shape[-1] <= min(sides):
            return found
        level = torch.nn.functional.avg_pool2d(level, 2)


class Level:
    """All images of one resolution, mapped from the disk: a sequence of pixels (H, W) or (H, W, C), as `RawImages` has it.

    A process that gets a pickled copy maps the file for itself.

    Args:
        folder: Of the pyramid.
        side: One of its resolutions.

    Raises:
        DataError: The pyramid has no such resolution, or its array is missing or damaged.
    """

    def __init__(self, folder: Path, side: int) -> None:
        pyramid = read_description(str(folder))
        if side not in pyramid.resolutions:
            sides = ", ".join(map(str, pyramid.resolutions))
            raise DataError(f"dataset.resolution={side} is not in {folder}: choose one of {sides}, or prepare it anew.")
        self.folder = folder
        self.side = side
        self.shape = pyramid.shape(side)
        self.images = self._map()

    def _map(self) -> Tensor:
        """uint8 (N, C, H, W), read from the disk where it is looked at."""
        file = array_file(self.folder, self.side)
        try:
            array = np.load(
                file, mmap_mode="c"
            )  # PyTorch wants memory that it may write; writes would not reach the file
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{file} is missing or damaged: delete {self.folder} and prepare it anew.") from error
        if array.shape != self.shape or array.dtype != np.uint8:
            raise DataError(
                f"{file} is not what {DESCRIPTION} beside it says: delete {self.folder} and prepare it anew."
            )
        return torch.from_numpy(array)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, position: int, /) -> np.ndarray:
        pixels = self.images[position].numpy()
        return np.ascontiguousarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "images"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.images = self._map()


def array_file(folder: Path, side: int) -> Path:
    """uint8 (N, C, side, side) of all images of this side."""
    return folder / f"{side}.npy"


def read_prepared(source: str, resolution: int, channels: int) -> RawImages:
    """The images of a prepared folder at one of its resolutions, under the names that they had before.

    Args:
        source: The folder; `~` is the home folder.
        resolution: Side in pixels.
        channels: What the set was prepared with.

    Raises:
        DataError: It is no such folder, is damaged, or has no such resolution or channels.
    """
    folder, pyramid = Path(source).expanduser(), read_description(source)
    if channels != pyramid.channels:
        raise DataError(
            f"dataset.channels={channels}, but {source} was prepared with {pyramid.channels}; give "
            f"dataset.channels={pyramid.channels}, or prepare it anew."
        )
    try:
        names = json.loads((folder / NAMES).read_text())
        labels = torch.from_numpy(np.load(folder / LABELS)) if (folder / LABELS).is_file() else None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{folder} is damaged: delete it and prepare it anew.") from error
    raw = RawImages(Level(folder, resolution), names, labels, pyramid.classes, pyramid.split)
    if not pyramid.skipped:
        return raw
    return raw.at(torch.tensor([row for row in range(pyramid.count) if row not in pyramid.skipped]))
