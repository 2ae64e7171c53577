"""Layouts of image-to-image translation: the split, the side A or B and the key of a file, from its path."""

from collections.abc import Sequence
from typing import NamedTuple

from gan_lab.data.image_folder import FolderFiles, ZipMembers
from gan_lab.data.raw import RawImages
from gan_lab.data.splits import SPLIT_NAMES, Part, names_of, unknown_split

SIDES = ("A", "B")

DIRECTIONS = ("AtoB", "BtoA")
"""From the side that is given to the side that the generator makes."""

_Files = FolderFiles | ZipMembers


class Place(NamedTuple):
    """Where a file belongs.

    Attributes:
        split: Name of the split as the folder has it, in lower case; None without such a folder.
        side: `A` or `B`; None without such a folder.
        key: The rest of the path without its extension, by which partners are found.
    """

    split: str | None
    side: str | None
    key: str


_SPLITS = [name for names in SPLIT_NAMES for name in names]

_FOLDERS: dict[str, tuple[str | None, str | None]] = {
    **{split: (split, None) for split in _SPLITS},
    **{side.lower(): (None, side) for side in SIDES},
    **{f"{split}{infix}{side.lower()}": (split, side) for split in _SPLITS for infix in ("", "_") for side in SIDES},
}
"""Split and side of a folder, by its name in lower case: `train`, `A`, `trainA`, `train_A`."""


def place_of(name: str) -> Place:
    """The place of a file: `A/train/1.png`, `train/A/1.png`, `trainA/1.png`, `train/1.png` or `1.png`.

    Folders before those of splits and sides are ignored, such as the name of the set in an archive.
    """
    *folders, file = name.split("/")
    split = side = None
    first = next((number for number, folder in enumerate(folders) if folder.lower() in _FOLDERS), None)
    rest = folders
    if first is not None:
        rest = folders[first:]
        while rest and (found := _FOLDERS.get(rest[0].lower())):
            if (found[0] and split) or (found[1] and side):
                break
            split, side, rest = found[0] or split, found[1] or side, rest[1:]
    stem = file.rpartition(".")[0] or file
    return Place(split, side, "/".join([*rest, stem]))


def select_split(places: Sequence[Place], part: Part, files: _Files) -> list[int]:
    """Positions of the files of a split; files without folders of splits are the split `train`.

    Raises:
        UnknownSplit: There is no such split.
    """
    known = {place.split or "train" for place in places}
    for name in names_of(part.split):
        if name in known:
            return [position for position, place in enumerate(places) if (place.split or "train") == name]
    raise unknown_split(part, files.path, known)


def at_positions(files: _Files, positions: Sequence[int], split: str) -> RawImages:
    """The files at these positions."""
    chosen = type(files)(files.path, [files.names[position] for position in positions])
    return RawImages(chosen, chosen.full_names(), split=split)
