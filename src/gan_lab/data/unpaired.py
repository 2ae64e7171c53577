"""Two sets of images without pairs for image-to-image translation, and their reader."""

from collections.abc import Sequence
from dataclasses import dataclass

from gan_lab.data.domains import (
    DIRECTIONS,
    DOMAINS,
    Files,
    RawTranslation,
    at_positions,
    is_of_files,
    place_of,
    select_split,
)
from gan_lab.data.hub import read_columns, without_missing
from gan_lab.data.image_folder import find_images
from gan_lab.data.raw import RawImages
from gan_lab.data.splits import Part, UnknownSplit
from gan_lab.errors import DataError


@dataclass(frozen=True)
class RawUnpaired(RawTranslation):
    """Images that a generator shall make, and the independent set of those that it is given.

    Args:
        sources: The other set, of any size.
    """

    sources: RawImages | None = None  # a default, since the fields of `RawImages` have some

    def given(self) -> RawImages:
        """See `RawTranslation.given`."""
        assert self.sources is not None
        return self.sources


def read_unpaired(
    source: str,
    split: str = "train",
    direction: str = "AtoB",
    columns: Sequence[str] | None = None,
    subset: str | Sequence[str] | None = None,
) -> RawUnpaired:
    """Read one split of two sets of images, A and B.

    A folder or zip file has the folders `trainA`, `trainB`, `testA` and `testB`; or `A` and `B`, with folders of splits
    in them or around them or without. A set of the hub, or a folder of its parquet files, has two columns of images, of
    which rows may be empty; or splits `trainA` and `trainB`; or two configurations.

    Args:
        source: Path of the folder or zip file, or hub id; `~` is the home folder.
        split: Name of the split.
        direction: `AtoB`, or `BtoA` to make A.
        columns: Columns of A and B; None for the only two of images, in their order.
        subset: Configuration, for hub data sets that have several; or two, of A and of B.

    Raises:
        DataError: The source does not exist, or lacks the split or images of A or of B.
    """
    if is_of_files(source):
        a, b = _read_files(find_images(source), Part(split))
    elif isinstance(subset, str) or subset is None:
        a, b = _read_columns(source, split, subset, columns)
    else:
        a, b = (read_columns(source, split, name, None, count=1)[0] for name in _two(subset))
    for domain, raw in zip(DOMAINS, (a, b), strict=True):
        if not len(raw):
            raise DataError(f"dataset.source={source} has no images of {domain} in its split {split}.")
    sources, target = (a, b) if direction == DIRECTIONS[0] else (b, a)
    return RawUnpaired(**vars(target), sources=sources)


def _read_columns(source: str, split: str, subset: str | None, columns: Sequence[str] | None) -> list[RawImages]:
    """A and B from two columns of a split, or from the splits with the names of the domains."""
    try:
        return [without_missing(raw) for raw in read_columns(source, split, subset, columns, count=2)]
    except UnknownSplit as error:
        try:
            return [read_columns(source, f"{split}{domain}", subset, None, count=1)[0] for domain in DOMAINS]
        except UnknownSplit:
            raise error from None


def _two(subsets: Sequence[str]) -> Sequence[str]:
    if len(subsets) != 2:
        raise DataError(f"dataset.reader.subset={list(subsets)} must be one configuration, or two: of A and of B.")
    return subsets


def _read_files(files: Files, part: Part) -> list[RawImages]:
    """A and B from the folders of their names."""
    places = list(map(place_of, files.names))
    chosen = select_split(places, part, files)
    known = {places[position].domain for position in chosen}
    if not known >= set(DOMAINS):
        missing = " and ".join(domain for domain in DOMAINS if domain not in known)
        raise DataError(
            f"dataset.source={files.path} has no folder of {missing} in its split {part.split}; two sets without pairs "
            "are in the folders trainA and trainB, or A and B"
            f"{', and pairs side by side in one file are for dataset=paired' if known == {None} else ''}."
        )
    return [at_positions(files, [p for p in chosen if places[p].domain == domain], part.split) for domain in DOMAINS]
