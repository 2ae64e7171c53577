"""A user's own images: a folder or a zip file, with or without one sub-folder per class."""

import os
import zipfile
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from gan_lab.data.raw import RawImages
from gan_lab.errors import DataError

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
"""File names that are taken for images, in lower case."""


def read_image_folder(source: str) -> RawImages:
    """Find the images below a folder or inside a zip file, in the order of their names.

    If every image lies in a sub-folder, the first-level sub-folders in alphabetical order are the classes 0, 1, …;
    a folder that wraps the whole content of a zip file is no class. Hidden files are passed over.

    Args:
        source: Path of the folder or zip file; `~` is the home folder.

    Raises:
        DataError: There is no such path, it is neither a folder nor a zip file, or no image is in it.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        names = _images_below(path)
        items: FolderFiles | ZipMembers = FolderFiles(path, names)
        tops = _first_folders(names)
    elif path.is_file():
        names = _images_in_zip(path)
        items = ZipMembers(path, names)
        tops = _first_folders(_without_common_folder(names))
    else:
        raise DataError(f"dataset.source={source} does not exist; give the path of a folder or zip file of images.")
    if not names:
        raise DataError(f"dataset.source={source} holds no images; the known extensions are {_extensions()}.")
    labels, classes = _labels(tops)
    return RawImages(items, [f"{path}/{name}" for name in names], labels, classes)


class FolderFiles:
    """Files below a folder, as a sequence of paths."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.folder = folder
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, position: int, /) -> Path:
        return self.folder / self.names[position]


class ZipMembers:
    """Members of a zip file, as a sequence of bytes.

    Every process opens the file for itself: after a fork the file position would be shared, and an open file cannot
    be pickled. Within a process `zipfile` lets several threads read from one handle.
    """

    def __init__(self, path: Path, names: list[str]) -> None:
        self.path = path
        self.names = names
        self._opened: tuple[int, zipfile.ZipFile] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, position: int, /) -> bytes:
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), zipfile.ZipFile(self.path))
        return self._opened[1].read(self.names[position])

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": None}


def _images_below(folder: Path) -> list[str]:
    """Names of the images relative to the folder, sorted."""
    names = []
    for root, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names += [(Path(root) / file).relative_to(folder).as_posix() for file in files]
    return sorted(name for name in names if _is_image(name))


def _images_in_zip(path: Path) -> list[str]:
    """Names of the images inside a zip file, sorted."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sorted(name for name in archive.namelist() if _is_image(name))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        if path.suffix.lower() == ".zip":
            raise DataError(f"dataset.source={path} is a damaged zip file: {str(error).rstrip('.')}.") from error
        raise DataError(f"dataset.source={path} is neither a folder nor a zip file.") from error


def _is_image(name: str) -> bool:
    """Whether the name has a known extension and neither it nor a folder above it is hidden."""
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in EXTENSIONS and not hidden


def _without_common_folder(names: list[str]) -> list[str]:
    """The names without the folders that all of them share, which zip tools add around the content."""
    while names and len({name.partition("/")[0] for name in names}) == 1 and all("/" in name for name in names):
        names = [name.partition("/")[2] for name in names]
    return names


def _first_folders(names: list[str]) -> list[str] | None:
    """The first-level folder of each name, or None if an image lies outside all folders."""
    if not all("/" in name for name in names):
        return None
    return [name.partition("/")[0] for name in names]


def _labels(tops: list[str] | None) -> tuple[Tensor | None, list[str] | None]:
    """Number the folders in alphabetical order: int64 labels (N,) and the names of the classes."""
    if tops is None:
        return None, None
    classes = sorted(set(tops))
    numbers = {name: number for number, name in enumerate(classes)}
    return torch.tensor([numbers[top] for top in tops]), classes


def _extensions() -> str:
    return " ".join(sorted(EXTENSIONS))
