"""Reader of a folder or zip file of images."""

import logging
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from PIL import features

from gan_lab.data.folder_labels import LABELS_FILE, folder_labels, listed_labels, why_unlabeled
from gan_lab.data.raw import MAX_FILE_BYTES, RawImages
from gan_lab.data.source import IMAGE_OR_IMAGES, IMAGES, existing_path
from gan_lab.errors import DataError
from gan_lab.files import MAX_TEXT_BYTES
from gan_lab.ranks import is_first_process

log = logging.getLogger(__name__)

EXTENSIONS = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
    | ({".jp2"} if features.check("jpg_2000") else set())
    | ({".avif"} if "avif" in features.get_supported() else set())
)
"""Extensions of the image files that Pillow can decode here, in lower case."""

NOT_IMAGES = frozenset(
    {".txt", ".json", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".md", ".html", ".db", ".ini", ".log", ""}
)
"""Extensions of files that usually lie beside images; they are ignored without a warning."""

ARRAYS = frozenset({".npz", ".npy", ".pt", ".pth", ".safetensors", ".h5", ".hdf5", ".mat"})
"""Extensions of files of arrays, in lower case; some of these are zip files."""

NOT_FOLDERS = frozenset({"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"})
"""Folders that operating systems and network drives create, in lower case; hidden folders are ignored as well."""


def read_image_folder(source: str) -> RawImages:
    """Find the images below a folder or inside a zip file, in the order of their names.

    A file `dataset.json` at the top, in StyleGAN's format, gives the labels. Without it, if every image is in a
    subfolder, the first-level subfolders in alphabetical order are the classes 0, 1, …; see `folder_labels`. A folder
    that contains all images is not a class. Hidden files and the folders of `NOT_FOLDERS` are ignored. A folder that is
    reached twice through links is read once. Files with other extensions are counted in a warning.

    Args:
        source: Path of the folder or zip file; `~` is the home folder.

    Raises:
        DataError: The path does not exist, is neither a folder nor a zip file, or contains no image; or its labels
            cannot be determined.
    """
    items = find_images(source)
    path, names = items.path, items.names
    full = items.full_names()
    listing = _listing(path)
    if listing is not None:
        return RawImages(items, full, *listed_labels(listing, names, f"{source}/{LABELS_FILE}"))
    below = _without_common_folder(names)
    labels, classes = folder_labels(below, source)
    return RawImages(items, full, labels, classes, unlabeled="" if labels is not None else why_unlabeled(below))


def read_file_or_folder(source: str, key: str) -> RawImages:
    """The images of a file, a folder or a zip file, without labels, with their names relative to it.

    Args:
        source: The path as the user wrote it.
        key: Key of the config that has it.

    Raises:
        DataError: The source does not exist, or contains no images.
    """
    path = existing_path(source, key, IMAGE_OR_IMAGES)
    if path.is_file() and path.suffix.lower() in EXTENSIONS:
        items = FolderFiles(path.parent, [path.name])
        return RawImages(items, items.names)
    try:
        found = find_images(source)
    except DataError as error:
        raise DataError(str(error).replace("dataset.source=", f"{key}=")) from error
    return RawImages(found, found.names)


def find_images(source: str) -> "FolderFiles | ZipMembers":
    """The image files below a folder or inside a zip file, in the order of their names.

    Raises:
        DataError: The path does not exist, is neither a folder nor a zip file, or contains no image.
    """
    path = existing_path(source)
    if path.is_file() and path.suffix.lower() in ARRAYS:
        raise DataError(
            f"dataset.source={source} is a file of arrays, not {IMAGES}; pass the arrays from Python, as in "
            "gan_lab.fit(config, data=...), or write them as image files."
        )
    if path.is_dir():
        items: FolderFiles | ZipMembers = FolderFiles(path, _images(_files_below(path), source))
    else:
        sizes = sizes_in_zip(path)
        items = ZipMembers(path, _images(sizes, source))
        refuse_huge(sizes, items.names, path)
    if not len(items):
        raise DataError(f"dataset.source={source} contains no images; the supported extensions are {_extensions()}.")
    return items


def _listing(path: Path) -> bytes | None:
    """Content of the file `dataset.json` at the top of a folder or zip file; None if there is none."""
    if path.is_dir():
        file = path / LABELS_FILE
        sizes = {LABELS_FILE: file.stat().st_size} if file.is_file() else {}
    else:
        sizes = sizes_in_zip(path)
    if LABELS_FILE not in sizes:
        return None
    refuse_huge(sizes, [LABELS_FILE], path, MAX_TEXT_BYTES)
    return (path / LABELS_FILE).read_bytes() if path.is_dir() else ZipMembers(path, [LABELS_FILE])[0]


_UTF8 = 1 << 11
"""Flag of a member of a zip file whose name is in UTF-8."""


class _Files:
    """Files of a folder or an archive.

    Args:
        path: The folder or archive.
        names: Names of the files in it.
    """

    def __init__(self, path: Path, names: list[str]) -> None:
        self.path = path
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def full_names(self) -> list[str]:
        """Names with the path, for messages."""
        return [f"{self.path}/{name}" for name in self.names]


class FolderFiles(_Files):
    """Files below a folder, as a sequence of paths."""

    def __getitem__(self, position: int, /) -> Path:
        return self.path / self.names[position]

    def file_size(self, position: int) -> int:
        """Size of the file in bytes; 0 if it has disappeared."""
        try:
            return self[position].stat().st_size
        except OSError:
            return 0


class ZipMembers(_Files):
    """Members of a zip file, as a sequence of bytes.

    Every process opens the file itself: after a fork the file position would be shared, and an open file cannot be
    pickled. Within a process, `zipfile` supports reads of several threads from one handle.
    """

    def __init__(self, path: Path, names: list[str]) -> None:
        super().__init__(path, names)
        self._opened: tuple[int, zipfile.ZipFile, dict[str, zipfile.ZipInfo]] | None = None

    def __getitem__(self, position: int, /) -> bytes:
        _, archive, members = self._open()
        return archive.read(members[self.names[position]])

    def file_size(self, position: int) -> int:
        """Size of the unpacked file in bytes, from the directory of the archive."""
        return self._open()[2][self.names[position]].file_size

    def _open(self) -> tuple[int, zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
        """The process that opened the archive, the archive, and its members by name."""
        if self._opened is None or self._opened[0] != os.getpid():
            archive = zipfile.ZipFile(self.path)
            self._opened = (os.getpid(), archive, _members(archive))
        return self._opened

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_opened": None}


def _files_below(folder: Path) -> list[str]:
    """Paths of the regular files, relative to the folder; a folder that is reached twice is entered once."""
    found: list[str] = []
    entered: set[tuple[int, int]] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        identity = os.stat(root)
        if (identity.st_dev, identity.st_ino) in entered:
            folders.clear()
            continue
        entered.add((identity.st_dev, identity.st_ino))
        folders[:] = sorted(name for name in folders if not _is_ignored(name))
        found += [
            (Path(root) / file).relative_to(folder).as_posix() for file in files if _is_regular(Path(root) / file)
        ]
    return found


def _is_regular(file: Path) -> bool:
    """False for pipes and devices, which would never end, and for broken links."""
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False


def sizes_in_zip(path: Path) -> dict[str, int]:
    """Names of the members of a zip file, and their sizes when unpacked.

    Raises:
        DataError: The file is damaged, or not a zip file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: member.file_size for name, member in _members(archive).items() if not member.is_dir()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        if path.suffix.lower() == ".zip":
            raise DataError(f"dataset.source={path} is a damaged zip file: {str(error).rstrip('.')}.") from error
        raise DataError(f"dataset.source={path} is neither a folder nor a zip file.") from error


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members of a zip file by name."""
    return {_member_name(member): member for member in archive.infolist()}


def _member_name(member: zipfile.ZipInfo) -> str:
    """Name of a member; Info-ZIP and macOS write UTF-8 without the flag for it, and `zipfile` reads that as cp437."""
    if not member.flag_bits & _UTF8:
        with suppress(UnicodeError):  # a name that is in cp437, or that `zipfile` found in an extra field
            return member.filename.encode("cp437").decode("utf-8")
    return member.filename


def refuse_huge(sizes: dict[str, int], names: list[str], path: Path, limit: int | None = None) -> None:
    """Raise DataError if a file with one of these names, perhaps in an archive, has more bytes than the limit.

    Args:
        sizes: Sizes of files by name.
        names: The files to check.
        path: The folder or archive that they are in.
        limit: The limit in bytes; None for that of an image.
    """
    limit = MAX_FILE_BYTES if limit is None else limit
    for name in names:
        if sizes.get(name, 0) > limit:
            raise DataError(
                f"{path}/{name} has {sizes[name] / 2**20:,.0f} MiB, more than the limit of {limit / 2**20:,.0f} MiB; "
                "remove it."
            )


def _images(files: Iterable[str], source: str) -> list[str]:
    """Sorted names of the images; other files are counted in a warning."""
    names, others = [], Counter[str]()
    for name in files:
        path = PurePosixPath(name)
        if any(map(_is_ignored, path.parts)):
            continue
        extension = path.suffix.lower()
        if extension in EXTENSIONS:
            names.append(name)
        elif extension not in NOT_IMAGES:
            others[extension] += 1
    if others and is_first_process():
        counts = ", ".join(f"{count:,} {extension}" for extension, count in others.most_common())
        log.warning(
            f"{others.total():,} of the {len(names) + others.total():,} files in {source} were ignored, since their "
            f"extensions are not supported: {counts}."
        )
    return sorted(names)


def _is_ignored(part: str) -> bool:
    return part.startswith(".") or part.lower() in NOT_FOLDERS


def _without_common_folder(names: list[str]) -> list[str]:
    """The names without their common parent folders, which zip tools and downloads add."""
    while names and len({name.partition("/")[0] for name in names}) == 1 and all("/" in name for name in names):
        names = [name.partition("/")[2] for name in names]
    return names


def _extensions() -> str:
    return " ".join(sorted(EXTENSIONS))
