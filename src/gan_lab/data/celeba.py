"""Reader of the files of CelebA: aligned photos, and text files with their splits and attributes."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gan_lab.data.image_folder import FolderFiles, ZipMembers, refuse_huge, sizes_in_zip
from gan_lab.data.raw import Items, RawImages, shortened
from gan_lab.data.splits import Part, names_of, unknown_split
from gan_lab.errors import DataError
from gan_lab.files import read_text

IMAGES = "img_align_celeba"
ATTRIBUTES = "list_attr_celeba.txt"
PARTITION = "list_eval_partition.txt"

_SPLITS = {"train": "0", "valid": "1", "test": "2"}
"""Numbers of the splits in the file."""


def has_celeba(folder: Path) -> bool:
    """Whether a folder has the photos of CelebA, or their archive, beside one of the text files."""
    photos = (folder / IMAGES).is_dir() or (folder / f"{IMAGES}.zip").is_file()
    return photos and any((folder / name).is_file() for name in (ATTRIBUTES, PARTITION))


def read_celeba(folder: Path, part: Part) -> RawImages:
    """Read `img_align_celeba`, as a folder or a zip file, with `list_eval_partition.txt`.

    Args:
        folder: Folder of these files.
        part: The split; its label is an attribute of `list_attr_celeba.txt`, such as `Smiling`, without which there are
            no labels. The number of the person is never read.

    Raises:
        DataError: The split or the attribute is unknown, or a file is missing, truncated or damaged.
    """
    number = next((_SPLITS[name] for name in names_of(part.split) if name in _SPLITS), None)
    if number is None:
        raise unknown_split(part, folder, _SPLITS)
    splits = {row[0]: row[1] for row in _rows(_lines(folder / PARTITION), 2, folder / PARTITION)}
    names = [name for name, split in splits.items() if split == number]
    items = _photos(folder, names, splits)
    labels = None if part.label is None else _labels(folder / ATTRIBUTES, part.label, names)
    classes = None if part.label is None else [f"not {part.label}", part.label]
    return RawImages(items, [f"{folder / IMAGES}/{name}" for name in names], labels, classes, split=part.split)


def _photos(folder: Path, names: list[str], listed: Collection[str]) -> Items:
    """The photos with these names, after a check that the photos are those that are listed."""
    if (folder / IMAGES).is_dir():
        found = {path.name for path in (folder / IMAGES).iterdir() if path.suffix == ".jpg"}
        items: Items = FolderFiles(folder / IMAGES, names)
    else:
        archive = folder / f"{IMAGES}.zip"
        sizes = sizes_in_zip(archive)
        refuse_huge(sizes, list(sizes), archive)
        found = {name.rpartition("/")[2] for name in sizes if name.startswith(f"{IMAGES}/") and name.endswith(".jpg")}
        items = ZipMembers(archive, [f"{IMAGES}/{name}" for name in names])
    if odd := sorted(found.symmetric_difference(listed)):
        where = PARTITION if odd[0] in found else "the photos"
        raise DataError(
            f"{folder} has {len(found):,} photos, and its {PARTITION} lists {len(listed):,}: one is incomplete, since "
            f"{odd[0]} is not in {where}."
        )
    if not names:
        raise DataError(f"{folder / PARTITION} lists no photos of this split.")
    return items


def _labels(file: Path, attribute: str, names: Sequence[str]) -> Tensor:
    """1 for photos with the attribute, 0 for the others; int64 (N,)."""
    lines = _lines(file)
    attributes = lines[1].split() if len(lines) > 1 else []
    if lines[:1] != [str(len(lines) - 2)]:
        raise DataError(f"{file} is truncated or damaged: its first line is not the number of photos that follow.")
    if attribute not in attributes:
        raise DataError(
            f"dataset.reader.label={attribute} is not an attribute of {file}; these are {shortened(attributes, 40)}."
        )
    column = 1 + attributes.index(attribute)
    values = {row[0]: row[column] for row in _rows(lines[2:], 1 + len(attributes), file)}
    if missing := next((name for name in names if values.get(name) not in ("1", "-1")), None):
        raise DataError(f"{file} has no value 1 or -1 of {attribute} for {missing}.")
    return torch.tensor([int(values[name] == "1") for name in names])


def _rows(lines: Iterable[str], columns: int, file: Path) -> Iterator[list[str]]:
    """The columns of each line."""
    for line in lines:
        row = line.split()
        if len(row) != columns:
            raise DataError(f"{file} is truncated or damaged: a line has {len(row)} columns and not {columns}.")
        yield row


def _lines(file: Path) -> list[str]:
    try:
        return read_text(file).splitlines()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
