"""Prepared pyramids: folders of decoded images, with one array per resolution and a description."""

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
from gan_lab.files import read_text, write_text

DESCRIPTION = "pyramid.json"
LABELS = "labels.npy"
NAMES = "names.json"
SMALLEST = 4
"""Resolution of the smallest images, with which growing networks begin."""


@dataclass(frozen=True)
class Pyramid:
    """Contents of `pyramid.json`, the description of the arrays in a folder.

    Args:
        source: Source of the images.
        content: `gan_lab.data.content.fingerprint` of the source.
        decoder: Arguments of the `gan_lab.data.decode.Decoder` that decoded them.
        resolutions: Resolutions of the arrays in pixels, ascending.
        count: Number of rows of every array; image k of the source is row k.
        classes: Names of the labels, or None.
        split: Split of a published data set, or None.
        skipped: Rows and names of the unreadable images; their rows are black and unused.
        kinds: Number of these images by reason, see `UnusableImage`.
        version: Version of this layout.
    """

    source: str
    content: str
    decoder: dict[str, Any]
    resolutions: list[int]
    count: int
    classes: list[str] | None = None
    split: str | None = None
    skipped: dict[int, str] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    version: int = 1

    @property
    def channels(self) -> int:
        """1 gray, 3 RGB, 4 RGBA."""
        return int(self.decoder["channels"])

    def shape(self, resolution: int) -> tuple[int, int, int, int]:
        """Shape of the array of this resolution."""
        return (self.count, self.channels, resolution, resolution)

    def has_same_content(self, other: "Pyramid") -> bool:
        """Whether both have the same images, classes and settings; the path of the source does not matter."""
        ours, theirs = ((p.content, p.decoder, p.resolutions, p.count, p.classes, p.version) for p in (self, other))
        return ours == theirs

    def write(self, file: Path) -> None:
        write_text(file, json.dumps(asdict(self), indent=1))


def read_description(source: str) -> Pyramid:
    """The description in a prepared folder; `~` is the home folder.

    Raises:
        DataError: It is missing, damaged or of another version.
    """
    file = Path(source).expanduser() / DESCRIPTION
    try:
        fields = json.loads(read_text(file, errors="strict"))
        pyramid = Pyramid(**{**fields, "skipped": {int(row): name for row, name in fields["skipped"].items()}})
        _check(pyramid)
        return pyramid
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(
            f"dataset.source={source} is not a prepared data set: it has no readable {DESCRIPTION}; create one with "
            "gan-lab prepare."
        ) from error


def _check(pyramid: Pyramid) -> None:
    """Check the types of a description, which may come from another person or be damaged.

    Raises:
        ValueError: A value is not one that `gan-lab prepare` writes.
    """
    rows = list(pyramid.skipped)
    valid = {
        "source": isinstance(pyramid.source, str),
        "content": isinstance(pyramid.content, str),
        "decoder": isinstance(pyramid.decoder, dict) and pyramid.decoder.get("channels") in (1, 3, 4),
        "resolutions": _are(pyramid.resolutions, int) and min(pyramid.resolutions, default=0) >= 1,
        "count": type(pyramid.count) is int and pyramid.count >= 1,
        "classes": pyramid.classes is None or _are(pyramid.classes, str),
        "split": isinstance(pyramid.split, str | None),
        "skipped": all(0 <= row < pyramid.count for row in rows) and _are(list(pyramid.skipped.values()), str),
        "kinds": isinstance(pyramid.kinds, dict) and _are(list(pyramid.kinds.values()), int),
        "version": pyramid.version == 1,
    }
    if wrong := [name for name, is_valid in valid.items() if not is_valid]:
        raise ValueError(f"{wrong[0]}={getattr(pyramid, wrong[0])!r:.40}")


def _are(values: Any, kind: type) -> bool:
    """Whether values are a list of elements of one type."""
    return isinstance(values, list) and all(type(value) is kind for value in values)


def halved_resolutions(resolution: int) -> list[int]:
    """The resolution and its halves, as long as they are even and at least 4, ascending."""
    resolutions = [resolution]
    while resolutions[-1] % 2 == 0 and resolutions[-1] // 2 >= SMALLEST:
        resolutions.append(resolutions[-1] // 2)
    return resolutions[::-1]


def smaller_images(image: Tensor, resolutions: Sequence[int]) -> dict[int, Tensor]:
    """Downsample an image to each of the resolutions, by repeated averages of 2x2 pixels.

    The averages stay float32, which is exact for those of up to 256x256 pixels. Each result is rounded once, half to
    even, so it differs from the pooled full image by at most half a gray level.

    Args:
        image: uint8 (C, R, R).
        resolutions: R / 2^k each.

    Returns:
        From resolution to uint8 (C, resolution, resolution).
    """
    found, level = {}, image.float()
    while True:
        if level.shape[-1] in resolutions:
            found[level.shape[-1]] = level.round().to(torch.uint8)
        if level.shape[-1] <= min(resolutions):
            return found
        level = torch.nn.functional.avg_pool2d(level, 2)


class Level:
    """Memory-mapped images of one resolution: a sequence of pixels (H, W) or (H, W, C), as in `RawImages`.

    A pickled copy maps the file again in its process.

    Args:
        folder: Folder of the pyramid.
        resolution: One of its resolutions.

    Raises:
        DataError: The pyramid has no such resolution, or its array is missing or damaged.
    """

    def __init__(self, folder: Path, resolution: int) -> None:
        pyramid = read_description(str(folder))
        if resolution not in pyramid.resolutions:
            resolutions = ", ".join(map(str, pyramid.resolutions))
            raise DataError(
                f"dataset.resolution={resolution} is not in {folder}: choose one of {resolutions}, or prepare it again."
            )
        self.folder = folder
        self.resolution = resolution
        self.shape = pyramid.shape(resolution)
        self.images = self._map()

    def _map(self) -> Tensor:
        """Memory-mapped array, uint8 (N, C, H, W)."""
        file = array_file(self.folder, self.resolution)
        try:
            # Copy-on-write: PyTorch requires writable memory, and writes do not reach the file.
            array = np.load(file, mmap_mode="c") if file.is_file() else None
        except (OSError, ValueError, EOFError) as error:
            raise _damaged(file) from error
        if not isinstance(array, np.ndarray):
            raise _damaged(file)
        if array.shape != self.shape or array.dtype != np.uint8:
            raise DataError(f"{file} does not match {DESCRIPTION}; delete {self.folder} and prepare it again.")
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


def _names(folder: Path, count: int) -> list[str]:
    """Names of the images of a prepared folder.

    Raises:
        DataError: The file is missing or damaged, or does not have one name for each image.
    """
    try:
        names: Any = json.loads((folder / NAMES).read_text(encoding="utf-8")) if (folder / NAMES).is_file() else None
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(folder / NAMES) from error
    if not _are(names, str) or len(names) != count:
        raise _damaged(folder / NAMES)
    return list(names)


def _labels(folder: Path, count: int) -> Tensor | None:
    """Labels of a prepared folder, int64 (count,); None if it has none.

    Raises:
        DataError: The file is damaged, or does not have one whole number for each image.
    """
    file = folder / LABELS
    if not file.is_file():
        return None
    try:
        labels = np.load(file)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(file) from error
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise _damaged(file)
    return torch.from_numpy(labels.astype(np.int64))


def _damaged(file: Path) -> DataError:
    return DataError(f"{file} is missing or damaged; delete {file.parent} and prepare it again.")


def array_file(folder: Path, resolution: int) -> Path:
    """File with all images of this resolution, uint8 (N, C, resolution, resolution)."""
    return folder / f"{resolution}.npy"


def read_prepared(source: str, resolution: int, channels: int) -> RawImages:
    """The images of a prepared folder at one of its resolutions, with the names from their source.

    Args:
        source: The folder; `~` is the home folder.
        resolution: Resolution in pixels.
        channels: Number of channels with which the set was prepared.

    Raises:
        DataError: The folder is not a prepared data set, is damaged, or lacks the resolution or the channels.
    """
    folder, pyramid = Path(source).expanduser(), read_description(source)
    if channels != pyramid.channels:
        raise DataError(
            f"dataset.channels={channels}, but {source} was prepared with {pyramid.channels}; give "
            f"dataset.channels={pyramid.channels}, or prepare it again."
        )
    names, labels = _names(folder, pyramid.count), _labels(folder, pyramid.count)
    raw = RawImages(Level(folder, resolution), names, labels, pyramid.classes, pyramid.split)
    if not pyramid.skipped:
        return raw
    return raw.at(torch.tensor([row for row in range(pyramid.count) if row not in pyramid.skipped]))
