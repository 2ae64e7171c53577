"""Reader of the databases of LSUN: one folder for each category and split."""

import re
from pathlib import Path

import numpy as np

from gan_lab.data.file_slices import FileSlices
from gan_lab.data.lmdb_file import value_places
from gan_lab.data.raw import NumberedNames, RawImages
from gan_lab.data.splits import Part, unknown_split
from gan_lab.errors import DataError

_FOLDER = re.compile(r"(?:(?P<category>.+)_)?(?P<split>train|val|test)_lmdb")


def has_lsun(folder: Path) -> bool:
    """Whether a folder is a database of LSUN, or has some."""
    return (folder / "data.mdb").is_file() or any(folder.glob("*_lmdb/data.mdb"))


def read_lsun(folder: Path, part: Part, category: str | None = None) -> RawImages:
    """Read `<category>_<split>_lmdb/data.mdb` without unpacking it; its values are encoded images.

    Args:
        folder: The folder with the databases, or that of one.
        part: The split; its subset is the category.
        category: The category, if the part names none; by default the only one.

    Raises:
        DataError: There is no database of the category and split, or it is truncated or damaged.
    """
    database = folder if (folder / "data.mdb").is_file() else _database(folder, part, part.subset or category)
    found = _FOLDER.fullmatch(database.name)
    if found and found["split"] != part.split:
        raise unknown_split(part, database, [found["split"]])
    file = database / "data.mdb"
    offsets, sizes = value_places(file)
    if not len(offsets):
        raise DataError(f"{file} contains no images.")
    items = FileSlices([file], np.zeros(len(offsets), dtype=np.uint8), offsets, sizes)
    return RawImages(items, NumberedNames(str(database), len(items)), split=part.split)


def _database(folder: Path, part: Part, category: str | None) -> Path:
    databases = sorted(path.parent for path in folder.glob("*_lmdb/data.mdb"))
    names = [match for path in databases if (match := _FOLDER.fullmatch(path.name)) is not None]
    categories = sorted({match["category"] for match in names if match["category"]})
    if category is None and len(categories) == 1:
        category = categories[0]
    if not categories:
        raise DataError(f"{folder} has no folder <category>_{part.split}_lmdb.")
    if category not in categories:
        given = "several categories" if category is None else f"no category {category}"
        raise DataError(
            f"{folder} has {given}; choose one of {', '.join(categories)} with dataset.reader.subset=<category>."
        )
    splits = [match["split"] for match in names if match["category"] == category]
    if part.split not in splits:
        raise unknown_split(part, folder, splits)
    return folder / f"{category}_{part.split}_lmdb"
