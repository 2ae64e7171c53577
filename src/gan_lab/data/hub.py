"""Reader of published data sets: from the Hugging Face hub, or from local copies."""

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gan_lab.data.exclude import without_copies
from gan_lab.data.published import PUBLISHED, expected_images, read_local
from gan_lab.data.raw import Item, NumberedNames, RawImages, shortened
from gan_lab.data.splits import Part, UnknownSplit
from gan_lab.errors import ConfigError, DataError, first_line, original, unknown_choice
from gan_lab.files import read_text
from gan_lab.hub_client import hub_is_reachable
from gan_lab.ranks import is_first_process

if TYPE_CHECKING:
    from datasets import Dataset

LABEL_NAMES = frozenset({"label", "labels", "class", "class_id", "category", "target", "y"})
"""Names of columns of integers that are labels, in lower case."""

_logger = logging.getLogger(__name__)


def read_hub(
    source: str,
    split: str = "train",
    subset: str | None = None,
    image: str | None = None,
    label: str | None = None,
    published: str | None = None,
    without_copies_of: str | None = None,
) -> RawImages:
    """Read one split of a hub data set, of a folder in the same layout, or of the files of its authors.

    Args:
        source: Hub id such as "ylecun/mnist", or the path of a folder or zip file; `~` is the home folder.
        split: Name of the split, or of several as in `train+extra`.
        subset: Name of the configuration, for hub data sets that have several; category of LSUN.
        image: Name of the column of images; by default the only one.
        label: Name of the column of labels; by default the first of class labels, else one of integers with a name of
            `LABEL_NAMES`. Other integers may be anything, such as the person in a photo. Columns of truth values and
            texts, and the attributes of CelebA, are labels only if they are named here.
        published: Name of the set in `gan_lab.data.published`. A folder may have the files of its authors, and its
            number of images is compared with what was found.
        without_copies_of: Name of another split: images that are in it, too, are left out.

    Raises:
        ConfigError: There is no published set of this name.
        DataError: The source does not exist, cannot be reached, is damaged or of another set, or lacks the split,
            images or the named columns; or there are several columns of images and none is named.
    """
    if published is not None and published not in PUBLISHED:
        raise ConfigError(unknown_choice("dataset.reader.published", published, PUBLISHED))
    raw = _read(source, Part(split, subset, label), image, published)
    if published is not None:
        _compare_count(len(raw), source, split, published)
    if without_copies_of is None:
        return raw
    others = _read(source, Part(without_copies_of, subset, label), image, published)
    kept = without_copies(raw, others)
    if is_first_process():
        _logger.info(
            "%s of %s images of %s (%s) are copies of images of its split %s and are left out.",
            f"{len(raw) - len(kept):,}", f"{len(raw):,}", source, split, without_copies_of,
        )  # fmt: skip
    return kept


def _read(source: str, part: Part, image: str | None, published: str | None) -> RawImages:
    path = _checked_path(source)
    local = read_local(path, part, published) if path.exists() else None
    if local is None:
        dataset = _load(str(path) if path.is_dir() else source, part.split, part.subset, local=path.is_dir())
        return _to_raw(dataset, source, part.split, image, part.label)
    if image is not None:
        raise DataError(f"dataset.reader.image={image} names a column, and {source} has files of images; leave it out.")
    return local


def read_columns(
    source: str, split: str, subset: str | None, columns: Sequence[str] | None, count: int
) -> list[RawImages]:
    """Read several columns of images of one split of a hub data set, or of a folder in the same layout.

    Args:
        source: Hub id, or the path of a folder.
        split: Name of the split.
        subset: Name of the configuration, for hub data sets that have several.
        columns: Names of the columns; None for the only ones.
        count: Number of columns.

    Raises:
        DataError: The source does not exist, cannot be reached, is damaged, lacks the split or a column, or has another
            number of columns of images and none are named.
    """
    path = _checked_path(source)
    dataset = _load(str(path) if path.is_dir() else source, split, subset, local=path.is_dir())
    found = _image_columns(dataset)
    wanted = found if columns is None else list(columns)
    if len(wanted) != count or not set(wanted) <= set(found):
        given = "" if columns is None else f"; dataset.reader.columns=[{','.join(columns)}] must name {count} of them"
        raise DataError(
            f"dataset.source={source} has the columns of images {', '.join(found) or '(none)'} in its split {split}, "
            f"and {count} {'is' if count == 1 else 'are'} needed{given or ': name them with dataset.reader.columns'}."
        )
    names = NumberedNames(f"{source} ({split})", len(dataset))
    return [RawImages(_encoded(dataset, name), names, split=split) for name in wanted]


def without_missing(raw: RawImages) -> RawImages:
    """The rows of a column that have an image."""
    assert isinstance(raw.items, EncodedColumn)
    missing = raw.items.dataset.data.column(raw.items.column).is_null().to_numpy()
    return raw.at(torch.from_numpy(~missing).nonzero()[:, 0]) if missing.any() else raw


def _compare_count(found: int, source: str, split: str, published: str) -> None:
    """Warn if the set has another number of images in this split."""
    expected = expected_images(published, split)
    if expected and found not in expected and is_first_process():
        _logger.warning(
            "%s has %s images in its split %s, and %s has %s: a part may be missing.",
            source, f"{found:,}", split, PUBLISHED[published].title, " or ".join(f"{n:,}" for n in sorted(expected)),
        )  # fmt: skip


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


def _checked_path(source: str) -> Path:
    """The path of a source, which does not exist if it is a hub id."""
    path = Path(source).expanduser()
    if not path.exists() and _looks_like_path(source):
        raise DataError(f"dataset.source={source} does not exist; give a hub id or an existing folder.")
    return path


def _looks_like_path(source: str) -> bool:
    """Whether a source cannot be a hub id, which is `name` or `organization/name`."""
    return source.startswith((".", "~", "/")) or source.count("/") > 1 or "\\" in source or source.endswith("/")


def _load(source: str, split: str, subset: str | None, local: bool) -> "Dataset":
    """Call `load_dataset`, and replace its errors by one-line messages."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    reachable = local or hub_is_reachable()
    if not local:
        _logger.info("Reading %s from the hub; it is downloaded unless it is in the local cache.", source)
    try:
        with _quiet(), contextlib.nullcontext() if reachable else _offline():
            if local and not _describes(Path(source), subset):
                return _load_parquet(Path(source), split, subset)
            return load_dataset(source, subset, split=split)
    except DatasetNotFoundError as error:
        raise DataError(f"dataset.source={source} is not on the hub, or is not accessible to you.") from error
    except Exception as error:  # the library does not wrap errors of its readers and its HTTP client
        if not reachable or isinstance(error, ConnectionError):
            raise DataError(
                f"dataset.source={source} is not in the local cache and the hub cannot be reached; "
                "give dataset.source=<local folder in the same layout>."
            ) from error
        reason = first_line(original(error))
        if "Unknown split" in str(error):
            raise UnknownSplit(f"dataset.reader.split={split} is not in {source}: {reason}.") from error
        raise DataError(f"dataset.source={source} cannot be read as a data set: {reason}.") from error


def _describes(folder: Path, subset: str | None) -> bool:
    """Whether the description of a hub data set in a folder has this configuration."""
    readme = folder / "README.md"
    return readme.is_file() and f"config_name: {subset or 'default'}\n" in read_text(readme)


def _load_parquet(folder: Path, split: str, subset: str | None) -> "Dataset":
    """Read the files of a hub data set without its description, from which the library takes the splits."""
    from datasets import load_dataset

    base = folder / subset if subset is not None and (folder / subset).is_dir() else folder
    names = [part.partition("[")[0] for part in split.split("+")]
    files = {
        name: sorted(map(str, [*base.glob(f"{name}-*.parquet"), *base.glob(f"data/{name}-*.parquet")]))
        for name in names
    }
    if all(files.values()):
        return load_dataset("parquet", data_files=files, split=split)
    return load_dataset(str(base), split=split)


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
    column = _image_column(dataset, source, image)
    labels, classes = _read_labels(dataset, source, label)
    names = NumberedNames(f"{source} ({split})", len(dataset))
    return RawImages(_encoded(dataset, column), names, labels, classes, split)


def _encoded(dataset: "Dataset", column: str) -> EncodedColumn:
    """A column as encoded bytes, not images: `RawImages` decodes them, and its errors name the image."""
    from datasets import Image

    return EncodedColumn(dataset.select_columns([column]).cast_column(column, Image(decode=False)), column)


def _image_columns(dataset: "Dataset") -> list[str]:
    """Names of the columns declared as images; if there are none, of structs with `bytes`, as in parquet."""
    from datasets import Image

    declared = [name for name, feature in dataset.features.items() if isinstance(feature, Image)]
    structs = [name for name, feature in dataset.features.items() if isinstance(feature, dict) and "bytes" in feature]
    return declared or structs


def _image_column(dataset: "Dataset", source: str, name: str | None) -> str:
    """The named column of images, or the only one."""
    found = _image_columns(dataset)
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
        f"+dataset.reader.image={found[0]}{', or give dataset=paired for pairs' if len(found) == 2 else ''}."
    )


def _read_labels(dataset: "Dataset", source: str, name: str | None) -> tuple[Tensor | None, list[str] | None]:
    """The labels, int64 (N,), with the names of the classes if declared; see `read_hub`."""
    from datasets import ClassLabel, Value

    features = dataset.features
    declared = [key for key, feature in features.items() if isinstance(feature, ClassLabel)]
    kinds = {key: feature.dtype for key, feature in features.items() if isinstance(feature, Value)}
    integers = [key for key, kind in kinds.items() if kind.lstrip("u")[:3] == "int"]
    others = [key for key, kind in kinds.items() if kind in ("bool", "string")]
    if name is not None and name not in declared + integers + others:
        known = shortened(declared + integers + others, 50) or "none"
        raise DataError(f"dataset.reader.label={name} is not a column of labels of {source}; these are {known}.")
    column = name or next(iter(declared + [key for key in integers if key.lower() in LABEL_NAMES]), None)
    if column is None or dataset.data.column(column).null_count:
        return None, None
    values = dataset.data.column(column)
    if column in others:
        return _named_labels(values.to_pylist(), column, kinds[column])
    labels = torch.tensor(values.to_numpy(), dtype=torch.int64)
    if len(labels) and int(labels.max()) == -1:  # the labels of ImageNet's test images are withheld
        return None, None
    return labels, list(features[column].names) if column in declared else None


def _named_labels(values: list[bool] | list[str], column: str, kind: str) -> tuple[Tensor, list[str]]:
    """Labels and names of the classes of a column of truth values or texts."""
    if kind == "bool":
        return torch.tensor(values, dtype=torch.int64), [f"not {column}", column]
    classes = sorted(set(map(str, values)))
    numbers = {name: number for number, name in enumerate(classes)}
    return torch.tensor([numbers[str(value)] for value in values]), classes
