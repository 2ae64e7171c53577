"""Published image data sets: their sizes and classes, and the files in which their authors distribute them."""

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from gan_lab.data.batches import has_cifar10, has_imagenet_batches, read_cifar10, read_imagenet_batches
from gan_lab.data.celeba import has_celeba, read_celeba
from gan_lab.data.idx import has_idx, read_idx_folder
from gan_lab.data.image_folder import read_image_folder
from gan_lab.data.joined import joined
from gan_lab.data.lsun import has_lsun, read_lsun
from gan_lab.data.raw import RawImages
from gan_lab.data.split_folders import has_images, read_split_folder
from gan_lab.data.splits import Part, unknown_split
from gan_lab.data.stl10 import has_stl10, read_stl10
from gan_lab.data.svhn import has_svhn, read_svhn
from gan_lab.data.tars import has_tars, read_tars
from gan_lab.errors import DataError

Counts = Mapping[str, tuple[int, ...]]
"""Numbers of images by split; several where a copy on the hub differs from the original."""

DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Layout:
    """Files in a folder from which images can be read.

    Attributes:
        files: What the files are, for messages.
        recognizes: Whether a folder has such files.
        read: Reads one split of them.
        folders: Folders in which the archive of the authors has them.
        has_attributes: Whether `dataset.reader.label` can choose among several kinds of labels.
    """

    files: str
    recognizes: Callable[[Path], bool]
    read: Callable[[Path, Part], RawImages]
    folders: tuple[str, ...] = ()
    has_attributes: bool = False


@dataclass(frozen=True)
class PublishedSet:
    """A published data set.

    Attributes:
        title: Its name.
        images: Numbers of its images.
        layout: Its authors' files; None if these are images in folders.
        classes: Names of its classes, for files without names; empty if it has none, or the files have them.
        license: As its authors state it; None if they state none, or it is not known here.
    """

    title: str
    images: Counts = field(default_factory=dict)
    layout: Layout | None = None
    classes: tuple[str, ...] = ()
    license: str | None = None


_LSUN_BEDROOM = Layout("databases of LSUN", has_lsun, partial(read_lsun, category="bedroom"))
_LSUN_CHURCH = Layout("databases of LSUN", has_lsun, partial(read_lsun, category="church_outdoor"))
_IDX = Layout("IDX files", has_idx, lambda folder, part: read_idx_folder(folder, part.split))

PUBLISHED: Mapping[str, PublishedSet] = {
    "mnist": PublishedSet(
        "MNIST", {"train": (60_000,), "test": (10_000,)}, replace(_IDX, folders=("MNIST/raw", "raw")), DIGITS
    ),
    "fashion_mnist": PublishedSet(
        "Fashion-MNIST",
        {"train": (60_000,), "test": (10_000,)},
        replace(_IDX, folders=("FashionMNIST/raw", "raw")),
        ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
        license="MIT",
    ),
    "cifar10": PublishedSet(
        "CIFAR-10",
        {"train": (50_000,), "test": (10_000,)},
        Layout("batches of CIFAR-10", has_cifar10, read_cifar10, ("cifar-10-batches-py", "cifar-10-batches-bin")),
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
    "svhn": PublishedSet(
        "SVHN",
        {"train": (73_257,), "test": (26_032,), "extra": (531_131,)},
        Layout("files of SVHN", has_svhn, read_svhn),
        DIGITS,
    ),
    "stl10": PublishedSet(
        "STL-10",
        {"train": (5_000,), "test": (8_000,), "unlabeled": (100_000,)},
        Layout("binary files of STL-10", has_stl10, read_stl10, ("stl10_binary",)),
        ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"),
    ),
    "imagenet": PublishedSet(
        "ImageNet-1k",
        {"train": (1_281_167,), "validation": (50_000,), "test": (100_000,)},
        Layout("batches of downsampled ImageNet", has_imagenet_batches, read_imagenet_batches),
        license="non-commercial research and education only",
    ),
    "celeba": PublishedSet(
        "CelebA",
        {"train": (162_770,), "valid": (19_867,), "test": (19_962,)},
        Layout("files of CelebA", has_celeba, read_celeba, ("celeba",), has_attributes=True),
        license="non-commercial research only",
    ),
    "celebahq": PublishedSet("CelebA-HQ", {"train": (28_000, 30_000), "validation": (2_000,)}),
    "ffhq": PublishedSet("FFHQ", {"train": (70_000,)}, license="CC BY-NC-SA 4.0, non-commercial"),
    "afhq": PublishedSet("AFHQ", {"train": (16_130, 14_630, 15_803, 14_336), "val": (1_500,), "test": (1_467,)}),
    "lsun": PublishedSet("LSUN", {}, Layout("databases of LSUN", has_lsun, read_lsun)),
    "lsun_bedroom": PublishedSet(
        "LSUN bedrooms", {"train": (287_968, 3_033_042), "test": (15_157,), "val": (300,)}, _LSUN_BEDROOM
    ),
    "lsun_church": PublishedSet(
        "LSUN churches", {"train": (119_915, 126_227), "test": (6_312,), "val": (300,)}, _LSUN_CHURCH
    ),
}
"""The sets by name: the value of `dataset.reader.published`."""

_OF_ANY_SET = (
    Layout("tar files", has_tars, read_tars),
    Layout("folders of images", has_images, read_split_folder),
)
"""Layouts that sets of any name have: tar files, and folders of images."""


def read_local(path: Path, part: Part, name: str | None) -> RawImages | None:
    """Read a local copy of a published set.

    Args:
        path: A folder, or a zip file of images.
        part: What to read; its split can be several ones, as in `train+extra`.
        name: Name of the set in `PUBLISHED`; None for any set.

    Returns:
        The images; None if the folder has none of the layouts.

    Raises:
        DataError: The files are of another set, or truncated or damaged, or lack the split.
    """
    if path.is_file():
        return _read_zip(path, part)
    found = _layout_in(path, name)
    if found is None:
        return None
    folder, layout = found
    if part.label is not None and not layout.has_attributes:
        raise DataError(
            f"dataset.reader.label={part.label} is not possible with the files in {folder}, which have one kind of "
            "labels; leave it out."
        )
    parts = [layout.read(folder, part._replace(split=split)) for split in part.split.split("+")]
    return _with_classes(joined(parts, part.split), None if name is None else PUBLISHED[name])


def expected_images(name: str, split: str) -> set[int]:
    """Numbers of images that a set has in a split, or in several as in `train+extra`; empty if they are not known."""
    counts = PUBLISHED[name].images
    parts = split.split("+")
    if any(part not in counts for part in parts):
        return set()
    return {sum(counts[part][0] for part in parts), *(counts[split] if len(parts) == 1 else ())}


def _layout_in(path: Path, name: str | None) -> tuple[Path, Layout] | None:
    """The folder with the files, and their layout; of the set with this name, or of any."""
    for known in PUBLISHED.values() if name is None else [PUBLISHED[name]]:
        if known.layout is not None:
            inner = known.layout.folders if name is not None else ()
            for folder in (path, *(path / each for each in inner)):
                if folder.is_dir() and known.layout.recognizes(folder):
                    return folder, known.layout
    if name is not None:
        _refuse_others(path, name)
    return next(((path, layout) for layout in _OF_ANY_SET if layout.recognizes(path)), None)


def _refuse_others(path: Path, name: str) -> None:
    """Raise DataError if a folder has the files of another set than that with this name."""
    for other in PUBLISHED.values():
        if other.layout is not None and other.layout.recognizes(path):
            raise DataError(
                f"dataset.source={path} has {other.layout.files}, and not the files of {PUBLISHED[name].title}; give "
                "another dataset, or another folder."
            )


def _read_zip(path: Path, part: Part) -> RawImages:
    if not zipfile.is_zipfile(path) and path.suffix.lower() != ".zip":  # a damaged one is reported below
        raise DataError(
            f"dataset.source={path} is a file; give a hub id, a folder of the set's files, or a zip file of images."
        )
    if part.split != "train":
        raise unknown_split(part, path, ["train"])
    return replace(read_image_folder(str(path)), split=part.split)


def _with_classes(raw: RawImages, known: PublishedSet | None) -> RawImages:
    """The images with the names of their classes, if only the set has them."""
    if known is None or raw.labels is None or raw.classes is not None or not known.classes:
        return raw
    return replace(raw, classes=list(known.classes))
