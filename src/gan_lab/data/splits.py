"""The part of a published data set that a run reads, and names of splits."""

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from gan_lab.data.raw import RawImages
from gan_lab.errors import ConfigError, DataError

SPLIT_NAMES = (("train", "training"), ("val", "valid", "validation", "dev"), ("test", "testing"))
"""Names of folders that hold a part of a data set, in lower case; each line has the names of one part."""


def with_split(reader: Callable[..., RawImages], split: str | None) -> Callable[..., RawImages]:
    """A reader of another split of the same data set; None for the reader itself.

    Raises:
        ConfigError: The data set has no splits.
    """
    if split is None:
        return reader
    if "split" not in inspect.signature(reader).parameters:
        raise ConfigError(
            "metrics=[test_error] needs a data set with test images, and dataset.reader has no splits; give "
            "evaluation.metrics.test_error.data.source=<other labeled images> and "
            "evaluation.metrics.test_error.data.reader.split=null, or leave the metric out."
        )
    return partial(reader, split=split)


class Part(NamedTuple):
    """The part to read.

    Attributes:
        split: Name of the split, such as `train`.
        subset: Name of the configuration, or the category of LSUN; None for the only one.
        label: What the labels are, for sets with several kinds of labels; None for the default.
    """

    split: str = "train"
    subset: str | None = None
    label: str | None = None


def names_of(split: str) -> tuple[str, ...]:
    """The name of a split, then other names of the same part."""
    return (split, *(name for names in SPLIT_NAMES if split in names for name in names if name != split))


class UnknownSplit(DataError):
    """A data set has no split of this name."""


def unknown_split(part: Part, folder: Path, known: Iterable[str]) -> UnknownSplit:
    """The error for a split that is not in a folder, which has those of `known`."""
    names = sorted(set(known))
    listed = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
    noun = "splits" if len(names) > 1 else "split"
    return UnknownSplit(f"dataset.reader.split={part.split} is not in {folder}; it has the {noun} {listed}.")
