"""Reader of the binary files of STL-10."""

from pathlib import Path

import numpy as np
import torch

from gan_lab.data.file_slices import PixelRecords
from gan_lab.data.raw import NumberedNames, RawImages
from gan_lab.data.splits import Part, unknown_split
from gan_lab.errors import DataError

SIZE = 96
"""Width and height of the images in pixels."""

IMAGE_BYTES = 3 * SIZE * SIZE


def has_stl10(folder: Path) -> bool:
    """Whether a folder has the images of any split."""
    return any((folder / f"{split}_X.bin").is_file() for split in ("train", "test", "unlabeled"))


def read_stl10(folder: Path, part: Part) -> RawImages:
    """Read `train_X.bin` with `train_y.bin`, the same of `test`, or `unlabeled_X.bin`.

    Raises:
        DataError: There is no file of the split, or it is truncated, or images and labels differ in number.
    """
    file = folder / f"{part.split}_X.bin"
    if not file.is_file():
        raise unknown_split(part, folder, [path.name.removesuffix("_X.bin") for path in folder.glob("*_X.bin")])
    count, rest = divmod(file.stat().st_size, IMAGE_BYTES)
    if rest or not count:
        raise DataError(
            f"{file} is truncated or damaged: its {file.stat().st_size:,} bytes are not a multiple of the "
            f"{IMAGE_BYTES:,} bytes of an image."
        )
    # Each channel is stored by columns.
    images = PixelRecords([file], [count], IMAGE_BYTES, (3, SIZE, SIZE), (2, 1, 0))
    labels = None if part.split == "unlabeled" else _labels(folder / f"{part.split}_y.bin", count)
    return RawImages(images, NumberedNames(f"{folder} ({part.split})", count), labels, split=part.split)


def _labels(file: Path, count: int) -> torch.Tensor:
    """The labels, int64 (N,) from 0 on; the file has bytes from 1 on."""
    if not file.is_file():
        raise DataError(f"{file} is missing; it has the labels of the images beside it.")
    found = file.stat().st_size
    if found != count:
        raise DataError(f"{file} has {found:,} labels for {count:,} images: one of the two files is truncated.")
    labels = np.fromfile(file, np.uint8)
    if labels.min() < 1 or labels.max() > 10:
        raise DataError(f"{file} has labels that are not from 1 to 10, so it is not a file of STL-10.")
    return torch.from_numpy(labels.astype(np.int64) - 1)
