"""Reader of tar files in the layout of WebDataset: the files of an example have one name up to the first dot."""

import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gan_lab.data.file_slices import FileSlices
from gan_lab.data.image_folder import EXTENSIONS
from gan_lab.data.raw import MAX_FILE_BYTES, NumberedNames, RawImages
from gan_lab.data.splits import SPLIT_NAMES, Part, names_of, unknown_split
from gan_lab.errors import DataError

_SPLITS = frozenset(name for names in SPLIT_NAMES for name in names) | {"unlabeled", "extra"}

_BLOCK = 512
"""Bytes of a block of a tar file, which ends with blocks of zeros."""

_LABEL_BYTES = 12
"""Longest text of a label."""

Files = dict[str, tuple[int, int]]
"""Offset and size of the files of one example, by extension."""


class _Image(NamedTuple):
    """Place of an image, and its label as text; None without one."""

    file: int
    offset: int
    size: int
    label: str | None


def has_tars(folder: Path) -> bool:
    """Whether tar files lie in a folder, or one level below."""
    return any(folder.glob("*.tar")) or any(folder.glob("*/*.tar"))


def read_tars(folder: Path, part: Part) -> RawImages:
    """Read the images of one split, with the numbers in files `.cls` as labels. Nothing is unpacked to the disk.

    A split is a folder, or the end of the files' names before their number, as in `train-000.tar` and
    `imagenet1k-train-0000.tar`. If there is neither, all files are those of `train`.

    Raises:
        DataError: There are no tar files of the split, or no images in them; one is truncated or damaged; or only some
            images have a label.
    """
    files = _of_split(folder, part)
    images = [image for number, file in enumerate(files) for image in _images(file, number)]
    if not images:
        raise DataError(f"{files[0]} and the other tar files of the split {part.split} contain no images.")
    numbers, offsets, sizes = np.array([image[:3] for image in images], dtype=np.int64).T
    names = NumberedNames(f"{folder} ({part.split})", len(images))
    return RawImages(FileSlices(files, numbers, offsets, sizes), names, _labels(images, folder), split=part.split)


def _of_split(folder: Path, part: Part) -> list[Path]:
    for name in names_of(part.split):
        if below := sorted((folder / name).glob("*.tar")):
            return below
    files = sorted([*folder.glob("*.tar"), *folder.glob("*/*.tar")])
    splits = [_split_of(file) for file in files]
    named = [split for split in splits if split is not None]
    found = [file for file, split in zip(files, splits, strict=True) if split in names_of(part.split)]
    if not found and (named or part.split != "train"):
        raise unknown_split(part, folder, named or ["train"])
    return found or files


def _split_of(file: Path) -> str | None:
    """The split in the name of a tar file, such as `train_unlabeled` in `set-train_unlabeled-000.tar`; None without."""
    names = re.sub(r"[-_.]?\d[\d_-]*$", "", re.split(r"[-.](?!\d)", file.stem)[-1]).split("_")
    start = next((number for number, name in enumerate(names) if name in _SPLITS), None)
    return None if start is None else "_".join(names[start:])


def _images(file: Path, number: int) -> Iterator[_Image]:
    """The images of one tar file, in their order."""
    current, files = None, Files()
    try:
        with file.open("rb") as content:
            for key, extension, offset, size in _members(content, file):
                if key != current:
                    yield from _image(files, content, number)
                    current, files = key, Files()
                files[extension] = offset, size
            yield from _image(files, content, number)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise DataError(f"{file} is truncated or damaged: {str(error).rstrip('.')}.") from error


def _members(content: BinaryIO, file: Path) -> Iterator[tuple[str, str, int, int]]:
    """Name of the example, extension, offset and size of each file; links, folders and hidden files are left out."""
    last = -1
    with tarfile.open(fileobj=content, mode="r:") as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # otherwise all of them stay in memory
            if member.offset_data <= last or member.size < 0:
                raise ValueError("the places of its files are wrong")
            last = member.offset_data
            found = re.fullmatch(r"((?:.*/)?[^./][^./]*)\.([^/]+)", member.name)
            if found is None or not member.isreg() or member.issparse():
                continue
            if member.size > MAX_FILE_BYTES:
                raise DataError(f"{file} has a file of more than {MAX_FILE_BYTES >> 20} MiB, the limit for an image.")
            yield found[1], found[2].lower(), member.offset_data, member.size
        content.seek(archive.offset)
        if content.read(_BLOCK) != bytes(_BLOCK):  # `tarfile` takes a damaged or missing block for the end
            raise ValueError("its last file is not followed by an end mark")


def _image(files: Files, content: BinaryIO, number: int) -> Iterator[_Image]:
    """The image of an example with its label, if the example has an image."""
    image = next((each for each in files if f".{each.rpartition('.')[2]}" in EXTENSIONS), None)
    if image is not None:
        yield _Image(number, *files[image], _text(content, *files["cls"]) if "cls" in files else None)


def _text(content: BinaryIO, offset: int, size: int) -> str:
    """The text of a label; `tarfile` finds its place in the file again."""
    if size > _LABEL_BYTES:
        raise ValueError(f"a file .cls has {size:,} bytes, and not a number")
    content.seek(offset)
    return content.read(size).decode("ascii")


def _labels(images: Sequence[_Image], folder: Path) -> Tensor | None:
    """The labels, int64 (N,); None if no image has one."""
    texts = [image.label for image in images]
    missing = texts.count(None)
    if missing == len(texts):
        return None
    if missing:
        raise DataError(f"{folder} has {missing:,} of {len(texts):,} images without a file .cls, which has the label.")
    try:
        return torch.tensor([int(text or "") for text in texts])
    except ValueError as error:
        raise DataError(f"{folder} has a label in a file .cls that is not a whole number.") from error
