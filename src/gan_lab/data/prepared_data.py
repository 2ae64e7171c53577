"""Data module for prepared pyramids."""

import hashlib
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from gan_lab.data.cache import DecodedImages, cache_bytes
from gan_lab.data.content import DataContent
from gan_lab.data.image_data import ImageData
from gan_lab.data.loaders import ResumableLoader
from gan_lab.data.processes import Processes
from gan_lab.data.pyramid import Level, read_description, read_prepared
from gan_lab.data.pyramid_loader import PyramidLoader
from gan_lab.data.raw import Selection
from gan_lab.data.sampler import IndexSampler


class PreparedData(ImageData):
    """Batches of a data set from `gan-lab prepare`, without decoding; growing networks get images of their resolution.

    The arrays are memory-mapped, or copied to memory or to the device if they fit. Order, flips, labels and names are
    those of the `ImageData` from which the set was prepared, and so are the pixels at the full resolution. A lower
    resolution has averages of them: its images, and the batches of growing networks, differ from full images that are
    pooled on the device by at most half a gray level, 1/255 in [-1, 1].

    Args:
        source: The folder that `gan-lab prepare` wrote.
        resolution: One of its resolutions, for real images in figures, metrics and other commands.
        channels: As it was prepared: 1 gray, 3 RGB, 4 RGBA.
        num_classes: As in `ImageData`, like the arguments below.
        batch_size: Images in a batch over all processes.
        seed: Seed of the order and of the flips.
        flip: Mirror each image horizontally with probability 1/2 in each epoch.
        cache: Where to keep the arrays: "auto", "device", "memory", or "none" to read them from disk.
        budget_images: Default for the number of real images that a run sees; only stored here.
        max_images: Train on this many images, chosen by the seed; None for all.
        exclude: A `duplicates.csv` of `gan-lab duplicates`, of this set or of its source.

    Raises:
        ConfigError: A value is not allowed.
    """

    def __init__(
        self,
        source: str,
        resolution: int,
        channels: int,
        num_classes: int | None,
        batch_size: int,
        seed: int = 0,
        flip: bool = False,
        cache: str = "auto",
        budget_images: int = 1_000_000,
        max_images: int | None = None,
        exclude: str | None = None,
    ) -> None:
        super().__init__(
            source,
            partial(read_prepared, resolution=resolution, channels=channels),
            resolution,
            channels,
            num_classes,
            batch_size,
            seed,
            flip,
            cache,
            budget_images=budget_images,
            max_images=max_images,
            exclude=exclude,
        )
        self._resolution = resolution
        self._levels: dict[int, Tensor] = {}  # by resolution
        self._cache_place = "none"
        self._cached_for: tuple[list[int], Processes] | None = None  # resolutions and processes of the cached levels

    @cached_property
    def content(self) -> DataContent:
        """Number of images, names of the classes, and hash of the source and the chosen images."""
        return DataContent(len(self._raw), self.classes, self._hash(repr(self.classes)))

    def fingerprint(self) -> str:
        """Hash of the source, the decoder, the resolution and the chosen images; the arrays are not read."""
        return self._hash(str(self._resolution))

    def _hash(self, text: str) -> str:
        """Hash of the source with its decoder, of the chosen images and of a text."""
        rows = hashlib.sha256(self._rows().numpy().data).hexdigest()
        return hashlib.sha256(f"{read_description(self.source).content} {text} {rows}".encode()).hexdigest()[:24]

    def _make_loader(self, sampler: IndexSampler, for_cuda: bool) -> ResumableLoader:
        """Loader of the arrays, at the resolution of the next batch."""
        rows = self._rows() if self._cache_place == "none" else None
        labels = self._kept_labels(self._raw.labels) if self._decoded is None else self._decoded.labels
        pin_memory = for_cuda and self._cache_place != "device"
        return PyramidLoader(self._levels, rows, labels, sampler, self._resolution_at, pin_memory)

    def _decode(self) -> None:
        """Map or copy the required arrays to the place of the cache; nothing is decoded."""
        raw, wanted = self._raw, (self._required_resolutions(), self._processes)
        if self._cached_for == wanted:
            return
        resolutions, processes = self._cached_for = wanted
        nbytes = sum(cache_bytes(len(raw), self.spec.channels, resolution) for resolution in resolutions)
        self._cache_place = self._choose_cache(self.cache, nbytes)
        folder, rows = Path(self.source).expanduser(), self._rows()
        self._levels, self._decoded = {resolution: Level(folder, resolution).images for resolution in resolutions}, None
        if self._cache_place == "none":
            return
        device = processes.device if self._cache_place == "device" else torch.device("cpu")
        self._levels = {resolution: images[rows].to(device) for resolution, images in self._levels.items()}
        labels = self._kept_labels(raw.labels)
        self._decoded = DecodedImages(self._levels[self._resolution], None if labels is None else labels.to(device))
        self._positions = torch.arange(len(raw))

    def _required_resolutions(self) -> list[int]:
        """Prepared resolutions at which batches may be requested."""
        available = read_description(self.source).resolutions
        return [
            resolution
            for resolution in available
            if resolution == self._resolution or (self.resolutions is not None and resolution < self._resolution)
        ]

    def _resolution_at(self, images_seen: int) -> int:
        """Smallest sufficient resolution of the next batch; training pools larger images."""
        required = self._resolution if self.resolutions is None else self.resolutions(images_seen)
        return min(resolution for resolution in self._levels if resolution >= required)

    def _rows(self) -> Tensor:
        """Rows of the arrays with the images of the set, int64 (N,)."""
        items, rows = self._raw.items, torch.arange(len(self._raw))
        while isinstance(items, Selection):
            items, rows = items.sequence, items.positions[rows]
        return rows
