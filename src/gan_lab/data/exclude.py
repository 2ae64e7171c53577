"""Exclusion of images from a data set: those that `gan-lab duplicates` lists, and copies of another set."""

import csv
import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path

import torch

from gan_lab.data.content import item_bytes
from gan_lab.data.raw import RawImages
from gan_lab.errors import DataError

COLUMN = "dropped"
"""Column of the CSV file with the names of the images to leave out."""


def read_excluded(file: str) -> set[str]:
    """The names in the column `dropped` of a CSV file.

    Raises:
        DataError: The file cannot be read, or has no such column.
    """
    try:
        with Path(file).expanduser().open(newline="", encoding="utf-8") as lines:
            rows = csv.DictReader(lines)
            names = {row[COLUMN] for row in rows} if COLUMN in (rows.fieldnames or ()) else None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it is not a CSV file"
        raise DataError(f"dataset.exclude={file} cannot be read: {reason}.") from error
    if names is None:
        raise DataError(f"dataset.exclude={file} has no column {COLUMN}; give a duplicates.csv of gan-lab duplicates.")
    return names


def without(raw: RawImages, names: Collection[str], file: str) -> RawImages:
    """The images of a set without those with these names.

    Args:
        raw: The set.
        names: As `raw.name` returns them.
        file: File with the names, for messages.

    Raises:
        DataError: A name is not in the set, so the file belongs to another one; or no image is left.
    """
    all_names = [raw.name(position) for position in range(len(raw))]
    if missing := sorted(set(names).difference(all_names)):
        raise DataError(
            f"dataset.exclude={file} names {missing[0]}, which is not in the data set; give the duplicates.csv of this "
            "set, made with the same dataset.source."
        )
    kept = [position for position, name in enumerate(all_names) if name not in names]
    if not kept:
        raise DataError(f"dataset.exclude={file} leaves none of the {len(raw)} images.")
    return raw.at(torch.tensor(kept))


def without_copies(raw: RawImages, others: RawImages) -> RawImages:
    """The images of a set whose bytes are not those of an image of `others`.

    Raises:
        DataError: No image is left.
    """
    known = set(_digests(others)) - {_digest(b"")}  # of images that cannot be read
    kept = [position for position, digest in enumerate(_digests(raw)) if digest not in known]
    if not kept:
        raise DataError(f"All {len(raw):,} images are in the split of dataset.reader.without_copies_of as well.")
    return raw.at(torch.tensor(kept))


def _digests(raw: RawImages) -> Iterator[bytes]:
    for position in range(len(raw)):
        yield _digest(item_bytes(raw, position))


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
