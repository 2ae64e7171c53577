"""Reader of data sets from the Hugging Face hub, from folders in its layout, and from folders of IDX files."""

import contextlib
import logging
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gan_lab.data.idx import has_idx, read_idx_folder
from gan_lab.data.raw import Item, NumberedNames, RawImages
from gan_lab.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

LABEL_NAMES = frozenset({"label", "labels", "class", "class_id", "category", "target", "y"})
"""Names of columns of integers that are labels, in lower case."""

_PROBE_SECONDS = 8.0

_logger = logging.getLogger(__name__)


def read_hub(
    source: str, split: str = "train", subset: str | None = None, image: str | None = None, label: str | None = None
) -> RawImages:
    """Read one split of a hub data set, of a folder in the same layout, or of a folder of IDX files.

    Args:
        source: Hub id such as "ylecun/mnist", or the path of a folder; `~` is the home folder.
        split: Name of the split.
        subset: Name of the configuration, for hub data sets that have several.
        image: Name of the column of images; by default the only one.
        label: Name of the column of labels; by default the first of class labels, else one of integers with a name of
            `LABEL_NAMES`. Other integers may be anything, such as the person in a photo.

    Raises:
        DataError: The source does not exist, cannot be reached, or lacks the split, images or the named columns; or
            there are several columns of images and none is named.
    """
    folder = Path(source).expanduser()
    if folder.is_dir() and has_idx(folder):
        return read_idx_folder(folder, split)
    if folder.is_file():
        raise DataError(f"dataset.source={source} is a file; give a hub id or a folder of parquet or IDX files.")
    if not folder.is_dir() and _looks_like_path(source):
        raise DataError(f"dataset.source={source} does not exist; give a hub id or an existing folder.")
    dataset = _load(str(folder) if folder.is_dir() else source, split, subset, local=folder.is_dir())
    return _to_raw(dataset, source, split, image, label)


class EncodedColumn:
    """The image column of a data set, as a sequence of encoded bytes or of paths."""

    def __init__(self, dataset: "Dataset", column: str) -> None:
        self.dataset = dataset
        self.column = column

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: int, /) -> Item:
        record = self.dataset[position][self.column]
        if record is None:
            raise ValueError("the row has no image")
        return record["bytes"] if record["bytes"] is not None else Path(record["path"])


def _looks_like_path(source: str) -> bool:
    """Whether a source cannot be a hub id, which is `name` or `organization/name`."""
    return source.startswith((".", "~", "/")) or source.count("/") > 1 or "\\" in source or source.endswith("/")


def _load(source: str, split: str, subset: str | None, local: bool) -> "Dataset":
    """Call `load_dataset`, and replace its errors by one-line messages."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    reachable = local or _hub_is_reachable()
    if not local:
        _logger.info("Reading %s from the hub; it is downloaded unless it is in the local cache.", source)
    try:
        with _quiet(), contextlib.nullcontext() if reachable else _offline():
            return load_dataset(source, subset, split=split)
    except DatasetNotFoundError as error:
        raise DataError(f"dataset.source={source} is not on the hub, or is not accessible to you.") from error
    except Exception as error:  # the library does not wrap errors of its readers and its HTTP client
        if not reachable or isinstance(error, ConnectionError):
            raise DataError(
                f"dataset.source={source} is not in the local cache and the hub cannot be reached; "
                "give dataset.source=<local folder in the same layout>."
            ) from error
        if "Unknown split" in str(error):
            raise DataError(f"dataset.reader.split={split} is not in {source}: {_first_line(error)}.") from error
        raise DataError(f"dataset.source={source} cannot be read as a data set: {_first_line(error)}.") from error


def _first_line(error: BaseException) -> str:
    """First line of the original error in the chain of causes."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


def _hub_is_reachable() -> bool:
    """Whether the hub responds within seconds; without this check, its client retries for much longer.

    The request runs in a separate thread, since no timeout limits the DNS lookup.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(OSError, ValueError):
            try:
                urllib.request.urlopen(constants.ENDPOINT, timeout=_PROBE_SECONDS).close()
            except urllib.error.HTTPError as error:  # also a response
                error.close()
            answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS)
    return answered.is_set()


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Restrict the libraries to their local cache."""
    import datasets.config
    from huggingface_hub import constants

    before = (constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE)
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Disable the progress bars of the libraries."""
    import datasets
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    shown = datasets.utils.is_progress_bar_enabled(), not are_progress_bars_disabled()
    datasets.disable_progress_bars()
    if "HF_HUB_DISABLE_PROGRESS_BARS" not in os.environ:  # with the variable set, the calls only warn
        disable_progress_bars()
    try:
        yield
    finally:
        if shown[0]:
            datasets.enable_progress_bars()
        if shown[1] and "HF_HUB_DISABLE_PROGRESS_BARS" not in os.environ:
            enable_progress_bars()


def _to_raw(dataset: "Dataset", source: str, split: str, image: str | None, label: str | None) -> RawImages:
    """Select the image and the label column."""
    from datasets import Image

    column = _image_column(dataset, source, image)
    labels, classes = _read_labels(dataset, source, label)
    # Encoded bytes, not images: `RawImages` decodes them, and its errors name the image.
    items = EncodedColumn(dataset.select_columns([column]).cast_column(column, Image(decode=False)), column)
    return RawImages(items, NumberedNames(f"{source} ({split})", len(dataset)), labels, classes, split)


def _image_column(dataset: "Dataset", source: str, name: str | None) -> str:
    """The named column of images, or the only one: declared as images, or a struct with `bytes`, as in parquet."""
    from datasets import Image

    declared = [name for name, feature in dataset.features.items() if isinstance(feature, Image)]
    structs = [name for name, feature in dataset.features.items() if isinstance(feature, dict) and "bytes" in feature]
    found = declared or structs
    if name is None and len(found) == 1:
        return found[0]
    if name in found:
        return str(name)
    if not found:
        columns = ", ".join(dataset.column_names)
        raise DataError(f"dataset.source={source} has no column of images; its columns are {columns}.")
    given = "" if name is None else f"dataset.reader.image={name} is not one of them: "
    raise DataError(
        f"dataset.source={source} has the columns of images {', '.join(found)}; {given}choose one with "
        f"+dataset.reader.image={found[0]}."
    )


def _read_labels(dataset: "Dataset", source: str, name: str | None) -> tuple[Tensor | None, list[str] | None]:
    """The labels, int64 (N,), with the names of the classes if declared; see `read_hub`."""
    from datasets import ClassLabel, Value

    features = dataset.features
    declared = [key for key, feature in features.items() if isinstance(feature, ClassLabel)]
    integers = [
        key
        for key, feature in features.items()
        if isinstance(feature, Value) and feature.dtype.lstrip("u")[:3] == "int"
    ]
    if name is not None and name not in declared + integers:
        known = ", ".join(declared + integers) or "none"
        raise DataError(f"dataset.reader.label={name} is not a column of labels of {source}; these are {known}.")
    column = name or next(iter(declared + [key for key in integers if key.lower() in LABEL_NAMES]), None)
    if column is None or dataset.data.column(column).null_count:
        return None, None
    labels = torch.tensor(dataset.data.column(column).to_numpy(), dtype=torch.int64)
    return labels, list(features[column].names) if column in declared else None
