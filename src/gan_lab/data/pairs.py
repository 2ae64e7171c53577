"""Pairs of images for image-to-image translation, and their reader."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from gan_lab.data.decode import LabelMapDecoder, upright
from gan_lab.data.hub import MissingColumn, read_columns
from gan_lab.data.image_folder import FolderFiles, ZipMembers, find_images
from gan_lab.data.raw import RawImages, UnusableImage
from gan_lab.data.sides import DIRECTIONS, SIDES, Place, at_positions, place_of, select_split
from gan_lab.data.split_folders import has_images
from gan_lab.data.splits import Part
from gan_lab.errors import DataError


@dataclass(frozen=True)
class RawPairs(RawImages):
    """Images that a generator shall make, each with the image that it is given, before decoding.

    The fields are those of `RawImages`, of the images to make.
    """

    def load_pair(self, position: int) -> tuple[Image.Image, Image.Image]:
        """Read and decode the image that is given and the image to make, in their own modes; of the same size.

        Raises:
            UnusableImage: One of them cannot be read, or the sizes differ.
        """
        raise NotImplementedError

    def given(self) -> RawImages:
        """The images that are given."""
        raise NotImplementedError


@dataclass(frozen=True)
class SideBySide(RawPairs):
    """Pairs whose images are the two halves of one file, A on the left.

    Args:
        makes_right: The image to make is the right half.
    """

    makes_right: bool = True

    def load(self, position: int) -> Image.Image:
        """See `RawImages.load`; the half with the image to make."""
        return self.load_pair(position)[1]

    def load_pair(self, position: int) -> tuple[Image.Image, Image.Image]:
        """See `RawPairs.load_pair`."""
        image = upright(super().load(position))
        width, height = image.size
        if width % 2:
            raise UnusableImage(
                f"{self.name(position)} is {width}x{height} pixels, and an odd width has no two equal halves, A and B.",
                "of odd width",
            )
        left, right = image.crop((0, 0, width // 2, height)), image.crop((width // 2, 0, width, height))
        return (left, right) if self.makes_right else (right, left)

    def given(self) -> RawImages:
        """See `RawPairs.given`."""
        return replace(self, makes_right=not self.makes_right)


@dataclass(frozen=True)
class Matched(RawPairs):
    """Pairs of two files, or of two columns.

    Args:
        sources: The image that is given for each of the images.
    """

    sources: RawImages | None = None  # a default, since the fields of `RawImages` have some

    def at(self, positions: Tensor) -> "Matched":
        """See `RawImages.at`."""
        return replace(super().at(positions), sources=self.given().at(positions))

    def load_pair(self, position: int) -> tuple[Image.Image, Image.Image]:
        """See `RawPairs.load_pair`."""
        source, target = upright(self.given().load(position)), upright(self.load(position))
        if source.size != target.size:
            sizes = " and ".join(f"{width}x{height}" for width, height in (source.size, target.size))
            names = dict.fromkeys([self.given().name(position), self.name(position)])
            raise UnusableImage(f"The pair {' and '.join(names)} has images of {sizes} pixels.", "of unequal sizes")
        return source, target

    def given(self) -> RawImages:
        """See `RawPairs.given`."""
        assert self.sources is not None
        return self.sources


@dataclass(frozen=True)
class PairDecoder:
    """Decoder of pairs to one tensor, first the channels of the image to make, then those of the image that is given.

    Args:
        target: Decoder of the images to make.
        source: Decoder of the images that are given, of the same resolution.
    """

    target: LabelMapDecoder
    source: LabelMapDecoder

    @property
    def channels(self) -> int:
        """Channels of both."""
        return self.target.channels + self.source.channels

    @property
    def resolution(self) -> int:
        """Width and height in pixels."""
        return self.target.resolution

    def __call__(self, raw: RawPairs, position: int) -> Tensor:
        """Decode one pair to uint8 (channels, resolution, resolution).

        Raises:
            UnusableImage: One of the images cannot be used, or the sizes differ.
        """
        source, target = raw.load_pair(position)
        name = raw.name(position)
        return torch.cat([self.target.convert(target, name), self.source.convert(source, raw.given().name(position))])


def read_pairs(
    source: str,
    split: str = "train",
    direction: str = "AtoB",
    columns: tuple[str, str] = ("imageA", "imageB"),
    subset: str | None = None,
) -> RawPairs:
    """Read one split of pairs of images.

    A folder or zip file has folders of the sides A and B with equal names of files (`A/train` and `B/train`,
    `train/A`, `trainA`, or `A` and `B`), or files whose left half is A and whose right half is B, in folders `train`,
    `test`, ... or without. A set of the hub, or a folder of its parquet files, has two columns of images.

    Args:
        source: Path of the folder or zip file, or hub id; `~` is the home folder.
        split: Name of the split.
        direction: `AtoB`, or `BtoA` to make A.
        columns: Columns of A and B.
        subset: Name of the configuration, for hub data sets that have several.

    Raises:
        DataError: The source does not exist, has no images, or lacks the split, a column or a partner of a file.
    """
    path, part = Path(source).expanduser(), Part(split)
    if path.is_file() or (path.is_dir() and has_images(path)):
        return _read_files(find_images(source), part, direction)
    try:
        sides = read_columns(source, split, subset, columns)
    except MissingColumn as error:
        found = ", ".join(error.found) or "none"
        raise DataError(
            f"dataset.reader.columns names {error.name}, and the columns of images of {source} are {found}; a set of "
            "pairs has two, as in dataset.reader.columns=[imageA,imageB]."
        ) from error
    return _matched(sides[0], sides[1], direction)


def _read_files(files: FolderFiles | ZipMembers, part: Part, direction: str) -> RawPairs:
    places = list(map(place_of, files.names))
    chosen = select_split(places, part, files)
    sides = {places[position].side for position in chosen}
    if sides == {None}:
        raw = at_positions(files, chosen, part.split)
        return SideBySide(**vars(raw), makes_right=direction == DIRECTIONS[0])
    by_key = {side: _by_key(files, places, chosen, side) for side in SIDES}
    for side, other in (SIDES, SIDES[::-1]):
        alone = [key for key in by_key[side] if key not in by_key[other]]
        if alone:
            file = f"{files.path}/{files.names[by_key[side][alone[0]]]}"
            more = f", like {len(alone) - 1:,} other files" if len(alone) > 1 else ""
            raise DataError(f"{file} has no partner of the same name in {other}{more}; dataset=unpaired needs none.")
    keys = sorted(by_key["A"])
    a, b = (at_positions(files, [by_key[side][key] for key in keys], part.split) for side in SIDES)
    return _matched(a, b, direction)


def _by_key(files: FolderFiles | ZipMembers, places: list[Place], chosen: list[int], side: str) -> dict[str, int]:
    """Positions of the files of a side by their keys."""
    found: dict[str, int] = {}
    for position in chosen:
        place = places[position]
        if place.side is None:
            raise DataError(f"{files.path}/{files.names[position]} is neither in the folder A nor in B, like others.")
        if place.side == side:
            if place.key in found:
                first = files.names[found[place.key]]
                raise DataError(
                    f"{files.path}/{first} and {files.names[position]} differ in their extension only; keep one."
                )
            found[place.key] = position
    return found


def _matched(a: RawImages, b: RawImages, direction: str) -> Matched:
    source, target = (a, b) if direction == DIRECTIONS[0] else (b, a)
    return Matched(**vars(target), sources=source)
