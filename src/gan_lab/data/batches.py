"""Readers of CIFAR-10 and of ImageNet at 8 to 64 pixels in batches: pickles, NumPy archives, binary records."""

import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gan_lab.data.file_slices import PixelRecords
from gan_lab.data.joined import Joined
from gan_lab.data.raw import Items, NumberedNames, RawImages
from gan_lab.data.splits import Part, names_of, unknown_split
from gan_lab.errors import DataError, is_out_of_memory
from gan_lab.plain_pickle import read_pickle

CIFAR10 = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
"""Files of the splits of CIFAR-10, without the extension `.bin` of the binary version."""

IMAGENET = {"train": [f"train_data_batch_{number}" for number in range(1, 11)], "validation": ["val_data"]}
"""Files of the splits of downsampled ImageNet, without the extension `.npz` of the NumPy version."""

MAX_BATCH_BYTES = 8 * 2**30
"""Largest array of a NumPy archive that is read; a batch at 64 pixels has 1.6 GB."""

_CIFAR_BYTES = 3 * 32 * 32

Batch = tuple[Items, np.ndarray]
"""Images, and their labels as stored, integers (N,)."""


def has_cifar10(folder: Path) -> bool:
    """Whether a folder has a file of CIFAR-10 in Python's or in the binary version."""
    return _has(folder, CIFAR10, ("", ".bin"))


def has_imagenet_batches(folder: Path) -> bool:
    """Whether a folder has a batch of downsampled ImageNet as a pickle or a NumPy archive."""
    return _has(folder, IMAGENET, ("", ".npz"))


def read_cifar10(folder: Path, part: Part) -> RawImages:
    """Read `data_batch_1` to `data_batch_5` or `test_batch`, pickles or with the extension `.bin`.

    Raises:
        DataError: The split is unknown, or a file is missing, truncated or damaged, or asks for code.
    """
    return _read(folder, part, CIFAR10, ("", ".bin"), range(10))


def read_imagenet_batches(folder: Path, part: Part) -> RawImages:
    """Read `train_data_batch_1` to `train_data_batch_10` or `val_data`, pickles or with the extension `.npz`.

    The labels 1 to 1000 of the files become 0 to 999; their order is not that of the sorted names of ImageNet.

    Raises:
        DataError: The split is unknown, or a file is missing, truncated or damaged, or asks for code.
    """
    return _read(folder, part, IMAGENET, ("", ".npz"), range(1, 1001))


def _has(folder: Path, files: Mapping[str, Sequence[str]], endings: Sequence[str]) -> bool:
    return any((folder / f"{name}{end}").is_file() for names in files.values() for name in names for end in endings)


def _read(
    folder: Path, part: Part, files: Mapping[str, Sequence[str]], endings: Sequence[str], labels: range
) -> RawImages:
    split = next((name for name in names_of(part.split) if name in files), None)
    if split is None:
        raise unknown_split(part, folder, files)
    batches = [_batch(_existing(folder, name, endings), labels) for name in files[split]]
    numbers = torch.from_numpy(np.concatenate([numbers for _, numbers in batches]).astype(np.int64) - labels.start)
    names = NumberedNames(f"{folder} ({part.split})", len(numbers))
    return RawImages(Joined([images for images, _ in batches]), names, numbers, split=part.split)


def _existing(folder: Path, name: str, endings: Sequence[str]) -> Path:
    found = next((folder / f"{name}{end}" for end in endings if (folder / f"{name}{end}").is_file()), None)
    if found is None:
        raise DataError(f"{folder} has no file {name}, so the set is incomplete.")
    return found


def _batch(file: Path, labels: range) -> Batch:
    """One file, after a check of its labels."""
    images, numbers = {"": _pickled, ".npz": _archived, ".bin": _binary}[file.suffix](file)
    if not len(numbers) or len(images) != len(numbers):
        raise DataError(f"{file} has {len(images):,} images and {len(numbers):,} labels.")
    if numbers.min() < labels.start or numbers.max() >= labels.stop:
        raise DataError(f"{file} has labels that are not from {labels.start} to {labels.stop - 1}.")
    return images, numbers


def _binary(file: Path) -> Batch:
    """Records of a byte with the label and the planes of red, green and blue."""
    count, rest = divmod(file.stat().st_size, 1 + _CIFAR_BYTES)
    if rest:
        raise DataError(f"{file} is truncated or damaged: its size is not a multiple of {1 + _CIFAR_BYTES:,} bytes.")
    numbers = np.fromfile(file, np.uint8).reshape(count, -1)[:, 0]
    return PixelRecords([file], [count], 1 + _CIFAR_BYTES, (3, 32, 32), (1, 2, 0), skipped=1), numbers


def _pickled(file: Path) -> Batch:
    content = read_pickle(file)
    return _arrays(content if isinstance(content, dict) else {}, file)


def _archived(file: Path) -> Batch:
    try:
        with zipfile.ZipFile(file) as archive:
            largest = max((member.file_size for member in archive.infolist()), default=0)
        if largest > MAX_BATCH_BYTES:
            raise DataError(f"{file} has an array of {largest:,} bytes, more than the limit of {MAX_BATCH_BYTES:,}.")
        with np.load(file) as content:
            return _arrays({name: content[name] for name in ("data", "labels") if name in content}, file)
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise many types for damaged files
        if is_out_of_memory(error):
            raise
        raise DataError(f"{file} is truncated, damaged, or not a NumPy archive.") from error


def _arrays(content: Mapping[Any, Any], file: Path) -> Batch:
    """Images and labels of a batch: planes of red, green and blue in each row of `data`, and `labels`."""
    data, labels = content.get("data"), content.get("labels")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or labels is None:
        raise DataError(f"{file} is not a batch of images: it must have an array of bytes, data, and a list, labels.")
    numbers = np.asarray(labels)
    size = math.isqrt(data.shape[1] // 3)
    if 3 * size * size != data.shape[1] or numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise DataError(f"{file} has no square images in color, or labels that are not whole numbers.")
    return data.reshape(len(data), 3, size, size).transpose(0, 2, 3, 1), numbers
