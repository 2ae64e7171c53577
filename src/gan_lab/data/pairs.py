"""Pairs of images for image-to-image translation, and their reader."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from gan_lab.data.decode import Decoder, upright
from gan_lab.data.domains import (
    DIRECTIONS,
    DOMAINS,
    Files,
    Place,
    RawTranslation,
    at_positions,
    is_of_files,
    place_of,
    select_split,
)
from gan_lab.data.hub import read_columns
from gan_lab.data.image_folder import find_images
from gan_lab.data.raw import Header, RawImages, UnusableImage
from gan_lab.data.splits import Part
from gan_lab.errors import DataError


@dataclass(frozen=True)
class RawPairs(RawTranslation):
    """Images that a generator shall make, each with the image that it is given, before decoding."""

    def load_pair(self, position: int) -> tuple[Image.Image, Image.Image]:
        """Read and decode the image that is given and the image to make, in their own modes; of the same size.

        Raises:
            UnusableImage: One of them cannot be read, or the sizes differ.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class SideBySide(RawPairs):
    """Pairs whose images are the two halves of one file, A on the left.

    Args:
        makes_right: The image to make is the right half.
    """

    makes_right: bool = True

    def headers(self, count: int) -> list[Header | None]:
        """See `RawImages.headers`; of one half."""
        found = super().headers(count)
        return [each and Header((each.size[0] // 2, each.size[1]), each.mode) for each in found]

    def load(self, position: int, least: int | None = None) -> Image.Image:
        """See `RawImages.load`; the half with the image to make, in its complete size."""
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

    target: Decoder
    source: Decoder

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
        given = raw.given()
        image = self.target.convert(target, raw.name(position), raw.whites)
        return torch.cat([image, self.source.convert(source, given.name(position), given.whites)])


def read_pairs(
    source: str,
    split: str = "train",
    direction: str = "AtoB",
    columns: Sequence[str] | None = None,
    subset: str | None = None,
) -> RawPairs:
    """Read one split of pairs of images.

    A folder or zip file has folders of the domains A and B with equal names of files (`A/train` and `B/train`,
    `train/A`, `trainA`, or `A` and `B`), or files whose left half is A and whose right half is B, in folders `train`,
    `test`, ... or without. A set of the hub, or a folder of its parquet files, has two columns of images.

    Args:
        source: Path of the folder or zip file, or hub id; `~` is the home folder.
        split: Name of the split.
        direction: `AtoB`, or `BtoA` to make A.
        columns: Columns of A and B; None for the only two of images, in their order.
        subset: Name of the configuration, for hub data sets that have several.

    Raises:
        DataError: The source does not exist, has no images, or lacks the split, a column or a partner of a file.
    """
    if is_of_files(source):
        return _read_files(find_images(source), Part(split), direction)
    a, b = read_columns(source, split, subset, columns, count=2)
    return _matched(a, b, direction)


def _read_files(files: Files, part: Part, direction: str) -> RawPairs:
    places = list(map(place_of, files.names))
    chosen = select_split(places, part, files)
    domains = {places[position].domain for position in chosen}
    if domains == {None}:
        raw = at_positions(files, chosen, part.split)
        return SideBySide(**vars(raw), makes_right=direction == DIRECTIONS[0])
    by_key = {domain: _by_key(files, places, chosen, domain) for domain in DOMAINS}
    for domain, other in (DOMAINS, DOMAINS[::-1]):
        alone = [key for key in by_key[domain] if key not in by_key[other]]
        if alone:
            file = f"{files.path}/{files.names[by_key[domain][alone[0]]]}"
            which = "" if len(alone) == 1 else f", the first of {len(alone):,} such files"
            raise DataError(f"{file} has no partner of the same name in {other}{which}; dataset=unpaired needs none.")
    keys = sorted(by_key["A"])
    a, b = (at_positions(files, [by_key[domain][key] for key in keys], part.split) for domain in DOMAINS)
    return _matched(a, b, direction)


def _by_key(files: Files, places: list[Place], chosen: list[int], domain: str) -> dict[str, int]:
    """Positions of the files of a domain by their keys."""
    found: dict[str, int] = {}
    for position in chosen:
        place = places[position]
        if place.domain is None:
            raise DataError(f"{files.path}/{files.names[position]} is neither in the folder A nor in B, like others.")
        if place.domain == domain:
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
