"""Reader of a folder of images whose splits are folders in it."""

import os
from dataclasses import replace
from pathlib import Path

from gan_lab.data.image_folder import EXTENSIONS, read_image_folder
from gan_lab.data.raw import RawImages
from gan_lab.data.splits import SPLIT_NAMES, Part, names_of, unknown_split

_MOST_FOLDERS = 2000
"""Folders that are searched for a first image: there may be as many classes, and an empty one."""

_OTHER_LAYOUTS = ("*.parquet", "*/*.parquet", "*.arrow", "metadata.*", "*/metadata.*")
"""Files of other layouts, in which images are examples or are described by tables."""


def has_images(folder: Path) -> bool:
    """Whether a folder consists of image files."""
    if any(any(folder.glob(pattern)) for pattern in _OTHER_LAYOUTS):
        return False
    for number, (_, _, files) in enumerate(os.walk(folder, followlinks=True)):
        if any(os.path.splitext(name)[1].lower() in EXTENSIONS for name in files):
            return True
        if number > _MOST_FOLDERS:
            break
    return False


def read_split_folder(folder: Path, part: Part) -> RawImages:
    """Read the images of one split, as `read_image_folder` does: `train`, `val`, ... in the folder.

    A folder without such folders has the split `train` only.

    Raises:
        DataError: There is no such split; or as for `read_image_folder`.
    """
    for name in names_of(part.split):
        if (folder / name).is_dir():
            return replace(read_image_folder(str(folder / name)), split=part.split)
    known = [name for names in SPLIT_NAMES for name in names if (folder / name).is_dir()]
    if known or part.split != "train":
        raise unknown_split(part, folder, known or ["train"])
    return replace(read_image_folder(str(folder)), split=part.split)
