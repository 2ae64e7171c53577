"""Reader of IDX files, the original format of MNIST and Fashion-MNIST."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch

from gan_lab.data.raw import NumberedNames, RawImages
from gan_lab.errors import DataError

_PREFIXES = {"train": "train", "test": "t10k"}
_UINT8_CODE = 8


def has_idx(folder: Path) -> bool:
    """Whether the folder holds the image file of either split."""
    return any(_find(folder, prefix, "images", 3) is not None for prefix in _PREFIXES.values())


def read_idx_folder(folder: Path, split: str) -> RawImages:
    """Read `train-images-idx3-ubyte`, `t10k-labels-idx1-ubyte` and so on, uncompressed or with the suffix `.gz`.

    Args:
        folder: Folder of the files.
        split: "train" or "test".

    Raises:
        DataError: The split is unknown, a file is missing or damaged, or images and labels differ in number.
    """
    if split not in _PREFIXES:
        raise DataError(f"dataset.reader.split={split} is not in {folder}; it has the splits train and test.")
    images = _read(folder, _PREFIXES[split], "images", 3)
    labels = _read(folder, _PREFIXES[split], "labels", 1)
    if len(images) != len(labels):
        raise DataError(f"{folder} has {len(images)} images but {len(labels)} labels in its split {split}.")
    names = NumberedNames(f"{folder} ({split})", len(images))
    return RawImages(images, names, torch.from_numpy(labels.astype(np.int64)), split=split)


def _find(folder: Path, prefix: str, content: str, rank: int) -> Path | None:
    """The IDX file of one split, or None. Some copies have a dot instead of the second hyphen."""
    stems = [f"{prefix}-{content}-idx{rank}-ubyte", f"{prefix}-{content}.idx{rank}-ubyte"]
    candidates = [folder / f"{stem}{suffix}" for stem in stems for suffix in ("", ".gz")]
    return next((path for path in candidates if path.is_file()), None)


def _read(folder: Path, prefix: str, content: str, rank: int) -> np.ndarray:
    """The array in one file, uint8 with `rank` dimensions."""
    path = _find(folder, prefix, content, rank)
    if path is None:
        raise DataError(
            f"{folder} has no file {prefix}-{content}-idx{rank}-ubyte or {prefix}-{content}-idx{rank}-ubyte.gz."
        )
    try:
        content_bytes = path.read_bytes()
        return _parse(gzip.decompress(content_bytes) if path.suffix == ".gz" else content_bytes, rank)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} cannot be read as an IDX file: {str(error).rstrip('.')}.") from error


def _parse(content: bytes, rank: int) -> np.ndarray:
    """Decode the header (two zero bytes, type, number of dimensions, big-endian sizes) and the values."""
    header = 4 + 4 * rank
    if len(content) < header or content[:4] != bytes([0, 0, _UINT8_CODE, rank]):
        raise ValueError(f"it does not begin with the header of {rank}-dimensional bytes")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", rank, offset=4))
    expected, found = int(np.prod(shape)), len(content) - header
    if found != expected:
        raise ValueError(f"its header announces {expected} bytes, but {found} follow")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()
