"""Data sets in the layout of the Hugging Face hub, from the hub itself or from a folder, and folders of IDX files."""

import contextlib
import logging
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gan_lab.data.idx import has_idx, read_idx_folder
from gan_lab.data.raw import Item, NumberedNames, RawImages
from gan_lab.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

_PROBE_SECONDS = 8.0

_logger = logging.getLogger(__name__)


def read_hub(source: str, split: str = "train", subset: str | None = None) -> RawImages:
    """Read one split of a hub data set, of a folder in the same layout, or of a folder of IDX files.

    The images are the first column of images, the labels the first column of class labels or integers.

    Args:
        source: Hub id such as "ylecun/mnist", or the path of a folder; `~` is the home folder.
        split: Name of the split.
        subset: Name of the configuration, for hub data sets that have several.

    Raises:
        DataError: The source does not exist or cannot be reached, or has no such split or no images.
    """
    folder = Path(source).expanduser()
    if folder.is_dir() and has_idx(folder):
        return read_idx_folder(folder, split)
    if folder.is_file():
        raise DataError(f"dataset.source={source} is a file; give a hub id or a folder of parquet or IDX files.")
    if not folder.is_dir() and _looks_like_path(source):
        raise DataError(f"dataset.source={source} does not exist; give a hub id or an existing folder.")
    dataset = _load(str(folder) if folder.is_dir() else source, split, subset, local=folder.is_dir())
    return _to_raw(dataset, source, split)


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
    """Whether a source can be no hub id: those are `name` or `owner/name`."""
    return source.startswith((".", "~", "/")) or source.count("/") > 1 or "\\" in source or source.endswith("/")


def _load(source: str, split: str, subset: str | None, local: bool) -> "Dataset":
    """Call `load_dataset` and turn its errors into sentences."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    reachable = local or _hub_answers()
    if not local:
        _logger.info("Reading %s from the hub; the first time it is downloaded.", source)
    try:
        with _quiet(), contextlib.nullcontext() if reachable else _offline():
            return load_dataset(source, subset, split=split)
    except DatasetNotFoundError as error:
        raise DataError(f"dataset.source={source} is not on the hub, or is not open to you.") from error
    except Exception as error:  # the library lets through what its many readers and its HTTP client raise
        if not reachable or isinstance(error, ConnectionError):
            raise DataError(
                f"dataset.source={source} is not in the local cache and the hub cannot be reached; "
                "give dataset.source=<local folder in the same layout>."
            ) from error
        if "Unknown split" in str(error):
            raise DataError(f"dataset.reader.split={split} is not in {source}: {_first_line(error)}.") from error
        raise DataError(f"dataset.source={source} cannot be read as a data set: {_first_line(error)}.") from error


def _first_line(error: BaseException) -> str:
    """The first line of the error that started the chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:") if lines else type(error).__name__


def _hub_answers() -> bool:
    """Whether the hub answers within a few seconds; without this check, its client retries for much longer.

    The request runs in a thread of its own, since no timeout bounds the look-up of the host name.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    answered = threading.Event()

    def ask() -> None:
        with contextlib.suppress(OSError, ValueError):
            try:
                urllib.request.urlopen(constants.ENDPOINT, timeout=_PROBE_SECONDS).close()
            except urllib.error.HTTPError as error:  # an answer, if not a welcoming one
                error.close()
            answered.set()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS)
    return answered.is_set()


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Let the libraries look only into their local cache."""
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
    """Silence the progress bars of the libraries."""
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


def _to_raw(dataset: "Dataset", source: str, split: str) -> RawImages:
    """Pick the image and the label column."""
    from datasets import Image

    column = _image_column(dataset.features)
    if column is None:
        columns = ", ".join(dataset.column_names)
        raise DataError(f"dataset.source={source} has no column of images; its columns are {columns}.")
    labels, classes = _read_labels(dataset)
    # Encoded bytes, not images: the decoding is ours, and so are the names in its errors.
    items = EncodedColumn(dataset.select_columns([column]).cast_column(column, Image(decode=False)), column)
    return RawImages(items, NumberedNames(f"{source} ({split})", len(dataset)), labels, classes, split)


def _image_column(features: dict[str, Any]) -> str | None:
    """The first column declared as images, else the first struct with a field `bytes`, as plain parquet has it."""
    from datasets import Image

    declared = [name for name, feature in features.items() if isinstance(feature, Image)]
    structs = [name for name, feature in features.items() if isinstance(feature, dict) and "bytes" in feature]
    return next(iter(declared + structs), None)


def _read_labels(dataset: "Dataset") -> tuple[Tensor | None, list[str] | None]:
    """The first column of class labels, else of integers: int64 (N,), and the names of the classes if declared."""
    from datasets import ClassLabel, Value

    features = dataset.features
    declared = [name for name, feature in features.items() if isinstance(feature, ClassLabel)]
    integers = [
        name
        for name, feature in features.items()
        if isinstance(feature, Value) and feature.dtype.lstrip("u")[:3] == "int"
    ]
    column = next(iter(declared + integers), None)
    if column is None or dataset.data.column(column).null_count:
        return None, None
    labels = torch.tensor(dataset.data.column(column).to_numpy(), dtype=torch.int64)
    return labels, list(features[column].names) if column in declared else None
