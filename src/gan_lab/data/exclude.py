"""Exclusion of the images that `gan-lab duplicates` lists from a data set."""

import csv
from collections.abc import Collection
from pathlib import Path

import torch

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
