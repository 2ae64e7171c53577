"""Labels of the images in a folder or archive: from StyleGAN's `dataset.json`, or from the first-level folders."""

import json
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gan_lab.data.raw import shortened
from gan_lab.data.splits import SPLIT_NAMES
from gan_lab.errors import DataError

LABELS_FILE = "dataset.json"

SPLITS = frozenset(name for names in SPLIT_NAMES for name in names)
"""Names of folders that hold a part of a data set, in lower case."""

DOMAINS = frozenset({"A", "B", "trainA", "trainB", "valA", "valB", "testA", "testB"})
"""Names of folders that hold one of the two domains of a set for image-to-image translation. Lower-case
`a` and `b` are classes."""

Labels = tuple[Tensor | None, list[str] | None]
"""int64 (N,) and the names of the classes; None without labels."""


def listed_labels(content: bytes, names: Sequence[str], file: str) -> Labels:
    """Labels of a `dataset.json`: `{"labels": [[name, number], …]}`, or null for a set without labels.

    Raises:
        DataError: The file cannot be read, an image is not listed, or a label is not a number.
    """
    try:
        listed = json.loads(content)["labels"]
        numbers = None if listed is None else {str(name): label for name, label in listed}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f'{file} is not in the format {{"labels": [[name, number], ...]}}.') from error
    if numbers is None:
        return None, None
    missing = [name for name in names if name not in numbers]
    if missing:
        raise DataError(
            f"{file} lists no label for {len(missing)} of the {len(names)} images, for example {missing[0]}."
        )
    labels = [_number(numbers[name], name, file) for name in names]
    return torch.tensor(labels), [str(label) for label in range(max(labels) + 1)]


def _number(label: Any, name: str, file: str) -> int:
    if isinstance(label, bool) or not isinstance(label, int) or label < 0:
        raise DataError(f"{file} has the label {str(label)[:50]} for {name}; labels must be whole numbers from 0 on.")
    return label


def folder_labels(names: Sequence[str], source: str) -> Labels:
    """The first-level folders in alphabetical order as classes; None if an image is not in a folder.

    The numbered folders `00000`, `00001`, … of StyleGAN's data sets, and those of FFHQ, are parts of one list and not
    classes.

    Args:
        names: Relative paths of the images.
        source: Where they are, for messages.

    Raises:
        DataError: The folders are splits of a data set, or domains for image-to-image translation.
    """
    if not all("/" in name for name in names):
        return None, None
    tops = [name.partition("/")[0] for name in names]
    classes = sorted(set(tops))
    lower = {name.lower() for name in classes}
    if lower <= SPLITS or set(classes) <= DOMAINS:
        kind = "parts of a data set" if lower <= SPLITS else "two domains for image-to-image translation"
        advice = "" if lower <= SPLITS else "give dataset=paired or dataset=unpaired, or "
        raise DataError(
            f"The folders {', '.join(classes)} of dataset.source={source} look like {kind}, not like classes: {advice}"
            f"give the folder of one of them, as in dataset.source={source.rstrip('/')}/{_first_choice(classes)} "
            "(extracted, if it is in an archive)."
        )
    if _are_numbered_parts(names, classes):
        return None, None
    numbers = {name: number for number, name in enumerate(classes)}
    return torch.tensor([numbers[top] for top in tops]), classes


def why_unlabeled(names: Sequence[str]) -> str:
    """Why `folder_labels` finds no classes in these relative paths, for messages; empty if there are no folders."""
    folders = sorted({name.partition("/")[0] for name in names if "/" in name})
    loose = [name for name in names if "/" not in name]
    if not folders:
        return ""
    if loose:
        which = f"{loose[0]} is" if len(loose) == 1 else f"{len(loose):,} of them, such as {loose[0]}, are"
        return f"{which} beside the folders {shortened(folders)}"
    return f"the folders {folders[0]} to {folders[-1]} are numbered parts of one list"


def _first_choice(classes: Sequence[str]) -> str:
    return next((name for name in classes if name.lower().startswith("train")), classes[0])


def _are_numbered_parts(names: Sequence[str], classes: Sequence[str]) -> bool:
    """True for `00000/img00000000.png`, `00001/img00001000.png`, …; and for FFHQ's `00000/00000.png`, …"""
    if all(re.fullmatch(r"(\d\d)000/\1\d{3}\.\w+", name) for name in names):
        return True
    return list(classes) == [f"{number:05d}" for number in range(len(classes))] and all(
        re.fullmatch(r"\d{5}/img\d{8}\.\w+", name) for name in names
    )
