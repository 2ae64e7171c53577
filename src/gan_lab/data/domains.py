"""Layouts of image-to-image translation: the split, the domain A or B and the key of a file, from its path."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gan_lab.data.image_folder import FolderFiles, ZipMembers
from gan_lab.data.raw import RawImages
from gan_lab.data.splits import SPLIT_NAMES, Part, names_of, unknown_split

DOMAINS = ("A", "B")

DIRECTIONS = ("AtoB", "BtoA")
"""From the domain that is given to the domain that the generator makes."""

Files = FolderFiles | ZipMembers


@dataclass(frozen=True)
class RawTranslation(RawImages):
    """Images that a generator shall make, before decoding, and those that it is given.

    The fields are those of `RawImages`, of the images to make.
    """

    def given(self) -> RawImages:
        """The images that are given."""
        raise NotImplementedError


class Place(NamedTuple):
    """Where a file belongs.

    Attributes:
        split: Name of the split as the folder has it, in lower case; None without such a folder.
        domain: `A` or `B`; None without such a folder.
        key: The rest of the path without its extension, by which partners are found.
    """

    split: str | None
    domain: str | None
    key: str


_SPLITS = [name for names in SPLIT_NAMES for name in names]

_FOLDERS: dict[str, tuple[str | None, str | None]] = {
    **{split: (split, None) for split in _SPLITS},
    **{domain.lower(): (None, domain) for domain in DOMAINS},
    **{
        f"{split}{infix}{domain.lower()}": (split, domain)
        for split in _SPLITS
        for infix in ("", "_")
        for domain in DOMAINS
    },
}
"""Split and domain of a folder, by its name in lower case: `train`, `A`, `trainA`, `train_A`."""


def place_of(name: str) -> Place:
    """The place of a file: `A/train/1.png`, `train/A/1.png`, `trainA/1.png`, `train/1.png` or `1.png`.

    Folders before those of splits and domains are ignored, such as the name of the set in an archive.
    """
    *folders, file = name.split("/")
    split = domain = None
    first = next((number for number, folder in enumerate(folders) if folder.lower() in _FOLDERS), None)
    rest = folders
    if first is not None:
        rest = folders[first:]
        while rest and (found := _FOLDERS.get(rest[0].lower())):
            if (found[0] and split) or (found[1] and domain):
                break
            split, domain, rest = found[0] or split, found[1] or domain, rest[1:]
    stem = file.rpartition(".")[0] or file
    return Place(split, domain, "/".join([*rest, stem]))


def select_split(places: Sequence[Place], part: Part, files: Files) -> list[int]:
    """Positions of the files of a split; files without folders of splits are the split `train`.

    Raises:
        UnknownSplit: There is no such split.
    """
    known = {place.split or "train" for place in places}
    for name in names_of(part.split):
        if name in known:
            return [position for position, place in enumerate(places) if (place.split or "train") == name]
    raise unknown_split(part, files.path, known)


def is_of_files(source: str) -> bool:
    """Whether a source is a zip file or a folder of files, and not a set of the hub or a folder of its tables."""
    path = Path(source).expanduser()
    return path.is_file() or (path.is_dir() and not any(any(path.rglob(f"*.{end}")) for end in ("parquet", "arrow")))


def at_positions(files: Files, positions: Sequence[int], split: str) -> RawImages:
    """The files at these positions."""
    chosen = type(files)(files.path, [files.names[position] for position in positions])
    return RawImages(chosen, chosen.full_names(), split=split)
