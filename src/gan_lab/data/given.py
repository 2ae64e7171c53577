"""Images that Python code gives to a function of gan_lab: any `torch.utils.data.Dataset` or LightningDataModule."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property, partial
from io import BytesIO
from threading import Lock
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset

from gan_lab.data.base import TrainingData
from gan_lab.data.image_data import ImageData
from gan_lab.data.raw import NumberedNames, RawImages
from gan_lab.errors import ConfigError, DataError

TRIED = 16
"""Samples, evenly spaced, from which sizes, channels and range are found."""

CHANNELS = (1, 3, 4)

ROUNDING = 1e-3
"""Excess over the range of floating-point images that is clamped."""

_FORMS = "an image, an image and a label, or a mapping with `image` and `label`"


class Given:
    """Samples of a data set as `RawImages` need them; reads are one at a time: most data sets do not allow threads.

    Floating-point images are converted to 8 bits, from [-1, 1] if some of those that are tried have negative values,
    else from [0, 1].

    Args:
        dataset: Has a length, and equal samples at each reading.

    Raises:
        DataError: It cannot be used.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.name = type(_innermost(dataset)).__name__
        self.was_used = False
        self._lock = Lock()
        _check_sequence(dataset, self.name)
        positions = range(0, len(dataset), -(-len(dataset) // TRIED))
        samples = [self.read(position) for position in positions]
        images = [_image(sample, self.name) for sample in samples]
        self.tried_labels = {position: _label(sample) for position, sample in zip(positions, samples, strict=True)}
        self.low = -1.0 if min(map(_lowest, images)) < 0 else 0.0
        try:
            self.tried = [_item(image, self.low) for image in images]
        except DataError as error:
            raise DataError(f"data= is {self.name}, which cannot be used: {error}.") from error
        if any(not _equal(item, self[position]) for item, position in zip(self.tried, positions, strict=True)):
            raise DataError(
                f"{self.name} gives another image each time that a sample is read, so that a run could not resume "
                "exactly: remove random transforms from it, and choose dataset.flip=true or an augment instead."
            )

    def __getstate__(self) -> dict[str, Any]:  # for the workers of data loaders
        return {key: value for key, value in vars(self).items() if key != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=Lock())

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, position: int, /) -> bytes | np.ndarray:
        return _item(_image(self.read(position), self.name), self.low)

    def read(self, position: int) -> Any:
        """The sample, as the data set gives it."""
        with self._lock:
            return self.dataset[position]

    def size(self) -> tuple[int, int]:
        """Channels and resolution of the images that are tried.

        Raises:
            ConfigError: They are not square, or of several sizes.
        """
        shapes = [_shape(item) for item in self.tried]
        sizes = sorted({shape[:2] for shape in shapes})
        if len(sizes) > 1 or sizes[0][0] != sizes[0][1]:
            found = ", ".join(f"{width}x{height}" for height, width in sizes[:3])
            raise ConfigError(
                f"{self.name} has images of {found} pixels: give dataset.resolution, to which they are resized, and "
                "dataset.fit=crop, pad or stretch."
            )
        return max(shape[2] for shape in shapes), sizes[0][0]

    @property
    def channels(self) -> int:
        """Largest number of channels of the images that are tried."""
        return max(_shape(item)[2] for item in self.tried)

    @cached_property
    def labels(self) -> Tensor | None:
        """Labels of all samples, int64 (n,); None if the samples have none.

        They are `targets` of the data set, as those of torchvision have, if they are the labels of all samples that
        are tried; else all samples are read.

        Raises:
            DataError: A label is not a whole number.
        """
        if self.tried_labels[0] is None:
            return None
        targets = _targets(self.dataset)
        if targets is None or any(
            _number(targets[position], self.name) != _number(label, self.name)
            for position, label in self.tried_labels.items()
        ):
            targets = [_label(self.read(position)) for position in range(len(self))]
        return torch.tensor([_number(label, self.name) for label in targets], dtype=torch.int64)

    @property
    def classes(self) -> list[str] | None:
        """Names of the labels, if the data set has `classes`."""
        names = getattr(_innermost(self.dataset), "classes", None)
        return list(map(str, names)) if isinstance(names, (list, tuple)) else None

    def raw(self, labeled: bool) -> RawImages:
        """The images, with their labels if these are used."""
        labels = self.labels if labeled else None
        return RawImages(self, NumberedNames(self.name, len(self)), labels, self.classes if labeled else None)


_GIVEN: ContextVar[Given | None] = ContextVar("given", default=None)


@contextmanager
def giving(data: Any) -> Iterator[None]:
    """Let `given_data` use this data inside the block.

    Args:
        data: A data set with a length, a data module whose training loader has one, or None for no data.

    Raises:
        DataError: It is something else.
        ConfigError: The block did not use it.
    """
    given = None if data is None else Given(_dataset_of(data))
    token = _GIVEN.set(given)
    try:
        yield
    finally:
        _GIVEN.reset(token)
    if given is not None and not given.was_used:
        raise ConfigError("data= has no effect: it is for configs and runs of dataset=python.")


class GivenData(ImageData):
    """Image data from Python; see `given_data`."""

    def label_advice(self) -> str:
        """See `ImageData.label_advice`; labels are read for it."""
        given = self.reader.keywords["given"]  # type: ignore[attr-defined]
        if given.labels is None:
            return f"{self.source} has none; its samples must be {_FORMS}, or give conditioning=none"
        return f"{self.source} has labels from 0 to {given.labels.max()}; give dataset.num_classes=" + (
            f"{given.labels.max() + 1}, or conditioning=none"
        )


def given_data(
    source: str | None = None,
    resolution: int | None = None,
    channels: int | None = None,
    num_classes: int | None = None,
    **options: Any,
) -> GivenData:
    """Data module of the data that `giving` provides, for `dataset=python`.

    Args:
        source: Name of the data set in messages; None for the name of its class.
        resolution: Resolution of the images in pixels, after `fit`; None for that of the images.
        channels: 1 gray, 3 RGB, 4 RGBA; None for those of the images.
        num_classes: Number of labels; None trains without labels.
        options: See `ImageData`.

    Raises:
        ConfigError: There are no data, or they are of several sizes.
    """
    given = _GIVEN.get()
    if given is None:
        raise ConfigError(
            "The images of dataset=python exist in Python only: give them there, as in gan_lab.fit(config, data=...) "
            "and gan_lab.evaluate(run, data=...), or choose a data set of files, such as dataset=image_folder."
        )
    given.was_used = True
    resolution = given.size()[1] if resolution is None else resolution
    reader = partial(_read, given=given, labeled=num_classes is not None)
    return GivenData(source or given.name, reader, resolution, channels or given.channels, num_classes, **options)


def _read(source: str, given: Given, labeled: bool) -> RawImages:
    return given.raw(labeled)


def _dataset_of(data: Any) -> Any:
    """The training set of a data module; other data unchanged.

    Raises:
        DataError: A data module has no single training set.
    """
    if isinstance(data, TrainingData):
        raise DataError(
            f"data= is {type(data).__name__}, a data module of gan_lab: name its class in the config instead, as in "
            "dataset._target_=my_package.MyData allow_targets=[my_package]."
        )
    if not isinstance(data, LightningDataModule):
        return data
    data.prepare_data()
    data.setup("fit")
    try:
        loader = data.train_dataloader()
    except MisconfigurationException:  # of a module without one
        loader = None
    if not isinstance(loader, DataLoader):
        raise DataError(
            f"data= is {type(data).__name__}, whose train_dataloader is not a torch.utils.data.DataLoader: give its "
            "data set instead."
        )
    return loader.dataset


def _check_sequence(dataset: Any, name: str) -> None:
    if isinstance(dataset, IterableDataset) or not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise DataError(
            f"data= is {name}, which has no length or no numbered samples: give a torch.utils.data.Dataset with "
            "__len__ and __getitem__, from which batches are drawn in an order that a run can resume."
        )
    if not len(dataset):
        raise DataError(f"data= is {name} without samples.")


def _innermost(dataset: Any) -> Any:
    """The data set below `torch.utils.data.Subset`."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return dataset


def _targets(dataset: Any) -> Sequence[Any] | None:
    """Labels that a data set of torchvision, or a subset of it, keeps; None if it has none."""
    if isinstance(dataset, Subset):
        inner = _targets(dataset.dataset)
        return None if inner is None else [inner[position] for position in dataset.indices]
    targets = getattr(dataset, "targets", None)
    changed = getattr(dataset, "target_transform", None) is not None
    return None if targets is None or changed or len(targets) != len(dataset) else targets


def _image(sample: Any, name: str) -> Any:
    """The image of a sample.

    Raises:
        DataError: It has none.
    """
    if isinstance(sample, Mapping):
        if "image" not in sample:
            raise DataError(f"The samples of {name} are mappings with {', '.join(map(str, sample))}: add image.")
        return sample["image"]
    return sample[0] if isinstance(sample, (tuple, list)) and len(sample) else sample


def _label(sample: Any) -> Any:
    """The label of a sample; None if it has none."""
    if isinstance(sample, Mapping):
        return sample.get("label")
    return sample[1] if isinstance(sample, (tuple, list)) and len(sample) > 1 else None


def _number(label: Any, name: str) -> int:
    try:
        if int(label) == label:
            return int(label)
    except (TypeError, ValueError, RuntimeError):
        pass
    shown = str(label)[:40].replace("\n", " ")
    raise DataError(f"The labels of {name} are not whole numbers, such as {shown}: give dataset.num_classes=null.")


def _lowest(image: Any) -> float:
    """Smallest value of a floating-point image; 0 for others."""
    array = _array(image) if isinstance(image, Tensor) else image
    return float(array.min()) if isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.size else 0.0


def _item(image: Any, low: float) -> bytes | np.ndarray:
    """An image as uint8 (H, W), (H, W, 3) or (H, W, 4), or as the bytes of a PNG file for Pillow's other modes.

    Args:
        image: Of Pillow, a tensor (C, H, W) or (H, W), or an array (H, W, C) or (H, W).
        low: Value of black, if the image is of floating-point numbers; white is 1.

    Raises:
        DataError: It is not an image.
    """
    if isinstance(image, Image.Image):
        if image.mode in ("L", "RGB", "RGBA"):
            return np.asarray(image)
        return _png(image)
    array = _array(image) if isinstance(image, Tensor) else image
    if not isinstance(array, np.ndarray):
        raise DataError(f"a sample is {type(image).__name__}, and it must be {_FORMS}")
    if array.ndim == 3:
        first = array.shape[0] in CHANNELS and (isinstance(image, Tensor) or array.shape[2] not in CHANNELS)
        array = np.moveaxis(array, 0, 2) if first else array
        array = array[:, :, 0] if array.shape[2] == 1 else array
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in CHANNELS) or not array.size:
        shape = " x ".join(map(str, np.shape(image)))
        raise DataError(f"a sample has the shape {shape}, and images are of height x width with 1, 3 or 4 channels")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    lowest, highest = float(array.min()), float(array.max())
    if array.dtype.kind != "f" or not low - ROUNDING <= lowest <= highest <= 1 + ROUNDING:
        raise DataError(
            f"a sample is {array.dtype} from {lowest:g} to {highest:g}, and images are uint8, or floating-point "
            f"numbers that are all in [0, 1] or all in [-1, 1]"
        )
    unit = (array.astype(np.float64) - low) / (1 - low)
    return np.ascontiguousarray(np.round(255 * unit.clip(0, 1)).astype(np.uint8))


def _array(image: Tensor) -> np.ndarray:
    """A tensor of any device as an array; bfloat16, which NumPy lacks, as float32."""
    dense = image.detach().to_dense() if image.layout != torch.strided else image.detach()
    return (dense.float() if dense.dtype == torch.bfloat16 else dense).cpu().numpy()


def _png(image: Image.Image) -> bytes:
    """Bytes of a PNG file; modes that it lacks are converted to RGB, or with transparency to RGBA.

    Raises:
        DataError: Pillow does not convert the mode, or the range of its values is unknown.
    """
    if image.mode not in ("1", "P", "LA", "I;16"):
        try:
            if image.mode in ("I", "F"):
                raise ValueError("range unknown")
            image = image.convert("LA") if image.mode == "La" else image  # which has no way to RGBA
            image = image.convert("RGBA" if image.mode in ("LA", "PA", "RGBa") else "RGB")
        except ValueError as error:
            raise DataError(f"a sample is a Pillow image of mode {image.mode}: convert it to L, RGB or RGBA") from error
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _equal(a: bytes | np.ndarray, b: bytes | np.ndarray) -> bool:
    return a == b if isinstance(a, bytes) else isinstance(b, np.ndarray) and np.array_equal(a, b)


def _shape(item: bytes | np.ndarray) -> tuple[int, int, int]:
    """Height, width and channels."""
    if isinstance(item, np.ndarray):
        return item.shape[0], item.shape[1], 1 if item.ndim == 2 else item.shape[2]
    with Image.open(BytesIO(item)) as image:
        return image.height, image.width, 1 if image.mode in ("1", "I", "I;16", "F") else 3
