"""Data module for image data sets."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import ClassVar

import torch
from torch import Tensor

from gan_lab.data.arguments import check_at_least, check_choice
from gan_lab.data.base import REALS_SEED, REFERENCE, TrainingData
from gan_lab.data.cache import CACHES, DecodedImages, cache_bytes, decode_all, decode_once
from gan_lab.data.content import DataContent, fingerprint, quick_hash
from gan_lab.data.decode import Decoder, ImageDecoder, refused
from gan_lab.data.exclude import read_excluded, without
from gan_lab.data.file_loader import FileLoader
from gan_lab.data.loaders import MemoryLoader, ResumableLoader
from gan_lab.data.pixels import flip_coin, flip_where, to_unit_range
from gan_lab.data.raw import RawImages, shortened
from gan_lab.data.sampler import ChangingSampler, EpochSampler, IndexSampler, shuffle
from gan_lab.data.summary import class_names, summary
from gan_lab.data.value_range import TRIED, warn_of_low_contrast, with_whites
from gan_lab.errors import DataError
from gan_lab.noise import mix
from gan_lab.ranks import is_first_process
from gan_lab.types import Batch, DataSpec

_SUBSET = -2  # used instead of an epoch in the seed of the subset of `max_images` images


class ImageData(TrainingData):
    """Shuffled batches of an image data set, with images in [-1, 1]; the set is read once per process.

    Images stay uint8 until they are on the training device. The order is a function of (seed, epoch), the flip of
    (seed, epoch, image): neither depends on the number of processes or on an interruption of the run.

    Args:
        source: Where the images are, for the reader.
        reader: Function that reads the source, for instance `read_hub` or `read_image_folder`.
        resolution: Resolution of the images in pixels, after `fit`.
        channels: 1 gray, 3 RGB, 4 RGBA.
        num_classes: Number of classes; None trains without labels, even if the source has some.
        batch_size: Images in a batch over all processes.
        seed: Seed of the order and of the flips.
        flip: Mirror each image horizontally with probability 1/2 in each epoch.
        cache: Where to keep decoded images: "auto", "device", "memory" or "none"; see `choose_cache`.
        fit: Method to make images square: "crop", "pad" or "stretch"; see `to_tensor`.
        background: Gray value 0..255 below transparent pixels and around padded images.
        min_resolution: Images whose shorter side has fewer pixels count as unreadable.
        on_error: "stop" at an unreadable image, or "skip" it with a warning.
        num_workers: Worker processes for decoding, if the images are not cached.
        max_images: Train on this many images, chosen by the seed; None for all.
        budget_images: Default for the number of real images that a run sees; only stored here.
        exclude: A `duplicates.csv` of `gan-lab duplicates`: its images are excluded, before `max_images` applies.
        filter: Filter for resizing: "lanczos", "bicubic", "nearest", "box" for means of pixels, or "reduced"; see
            `Decoder`.

    Raises:
        ConfigError: A value is not allowed.
    """

    decoder_class: ClassVar[type[Decoder]] = Decoder
    """Conversion of the images."""

    def __init__(
        self,
        source: str,
        reader: Callable[[str], RawImages],
        resolution: int,
        channels: int,
        num_classes: int | None,
        batch_size: int,
        seed: int = 0,
        flip: bool = False,
        cache: str = "auto",
        fit: str = "crop",
        background: int = 255,
        min_resolution: int = 2,
        on_error: str = "stop",
        num_workers: int = 0,
        budget_images: int = 1_000_000,
        max_images: int | None = None,
        exclude: str | None = None,
        filter: str = "lanczos",
    ) -> None:
        super().__init__(DataSpec(channels, resolution, num_classes), batch_size, seed, budget_images)
        self._decoder = self.decoder_class(channels, resolution, fit, background, min_resolution, filter)
        if num_classes is not None:
            check_at_least("dataset.num_classes", num_classes, 1)
        check_at_least("dataset.num_workers", num_workers, 0)
        if max_images is not None:
            check_at_least("dataset.max_images", max_images, 1)
        check_choice("dataset.cache", cache, CACHES)
        check_choice("dataset.on_error", on_error, ("stop", "skip"))
        self.source: str = source
        self.reader = reader
        self.flip = flip
        self.cache = cache
        self.on_error = on_error
        self.num_workers = num_workers
        self.max_images = max_images
        self.exclude = exclude
        self._decoded: DecodedImages | None = None
        self._positions = torch.empty(0, dtype=torch.long)  # of the decoded images, in the set before decoding
        self._loader: ResumableLoader | None = None
        self._values_checked = False

    @cached_property
    def _raw(self) -> RawImages:
        """The set before decoding, after `exclude` and `max_images`; read at the first use."""
        raw = self.reader(self.source)
        _check_labels(raw, self.source, self.spec.num_classes)
        if self.exclude is not None:
            raw = without(raw, read_excluded(self.exclude), self.exclude)
        if self.max_images is not None and self.max_images < len(raw):
            raw = raw.at(shuffle(len(raw), mix(self.seed, _SUBSET))[: self.max_images].sort().values)
        return with_whites(raw, self.source)

    @property
    def _batch_decoder(self) -> ImageDecoder:
        """Decoder of the images of batches, which may be cached."""
        return self._decoder

    @property
    def _cached(self) -> DecodedImages | None:
        """The decoded images, if they are cached as evaluations need them; else these decode images on demand."""
        return self._decoded

    @property
    def size(self) -> int:
        """Number of images in the set; after decoding, without the skipped ones."""
        return len(self._raw) if self._decoded is None else len(self._decoded.images)

    @property
    def classes(self) -> list[str] | None:
        """Names of the labels 0, 1, …; None if the set has no labels or they have no names."""
        classes = self._raw.classes
        return None if classes is None or self.spec.num_classes is None else list(classes)

    def find_unusable(self) -> None:
        """See `TrainingData.find_unusable`; a set that is not cached is decoded during training, and keeps its size."""
        if self.on_error == "skip":
            self._decode()

    def empty_classes(self) -> list[str]:
        """See `TrainingData.empty_classes`."""
        labels = self._kept_labels(self._raw.labels) if self._decoded is None else self._decoded.labels
        if labels is None:
            return []
        names = class_names(self._raw, self.spec.num_classes)
        counts = labels.bincount(minlength=len(names)).tolist()
        return [name for name, count in zip(names, counts, strict=True) if not count]

    def summary(self) -> str:
        """See `gan_lab.data.summary`; images that were skipped are left out."""
        kept = self._raw if self._decoded is None else self._raw.at(self._positions)
        return summary(kept, self._decoder, self.spec.num_classes)

    def label_advice(self) -> str:
        """Which labels the source has, and what to give for labels, as text for a message.

        Raises:
            DataError: The source cannot be read.
        """
        raw = self._raw
        if raw.labels is None:
            since = f", since {raw.unlabeled}" if raw.unlabeled else ""
            advice = "put all images into one folder for each class, or give conditioning=none"
            return f"{self.source} has none{since}; {advice}"
        names = class_names(raw)
        return (
            f"{self.source} has {len(names)} classes, {shortened(names)}; give dataset.num_classes={len(names)}, if "
            "these are right, or conditioning=none"
        )

    def undecoded(self) -> tuple[RawImages, Decoder]:
        """The set before decoding, after `exclude` and `max_images`, and its decoder.

        Raises:
            DataError: The source cannot be read, or the labels do not fit `num_classes`.
        """
        return self._raw, self._decoder

    def setup(self, stage: str | None = None) -> None:
        """Read the set and, inside a trainer, decode it if it is cached; once per process, also if called repeatedly.

        Without a trainer, the device and the number of processes are unknown, so the set is only read.

        Raises:
            DataError: The source or an image cannot be read, or the labels do not fit `num_classes`.
        """
        super().setup(stage)
        if self.trainer is not None:
            self._decode()
            if is_first_process() and not self._values_checked:
                self._values_checked = True
                self._check_values()

    def _check_values(self) -> None:
        """Log a warning if the images span hardly any gray values; without a cache, if those that are tried do."""
        cached = None if self._decoded is None else self._decoded.images
        images = list(self._readable(self._raw.spaced(TRIED))) if cached is None else [cached.amin(0), cached.amax(0)]
        color = min(self.spec.channels, 3)  # without alpha, and of pairs only the images to make
        if images:
            warn_of_low_contrast(torch.stack(images)[:, :color], self.source)

    def train_dataloader(self) -> ResumableLoader:
        """Batches of the set, as described in `MemoryLoader`; without a trainer, for one process on the CPU.

        Raises:
            DataError: The batch size is not divisible by the number of processes, or exceeds the size of the set.
        """
        self._decode()
        processes = self._processes
        arguments = (self.seed, processes.rank, processes.world)
        sampler: EpochSampler | ChangingSampler = (
            EpochSampler(self.size, self.batch_size, *arguments)
            if self.batch_sizes is None
            else ChangingSampler(self.size, self.batch_sizes, *arguments)
        )
        return self.loader_with(sampler)

    def loader_with(self, sampler: IndexSampler) -> ResumableLoader:
        """Batches of the set in the order of a sampler; `train_dataloader` has the order of this set."""
        self._decode()
        self._loader = self._make_loader(sampler, for_cuda=self._processes.device.type == "cuda")
        return self._loader

    def _make_loader(self, sampler: IndexSampler, for_cuda: bool) -> ResumableLoader:
        """Loader of the cached or undecoded images; batches are page-locked if they must be copied to a CUDA device."""
        if self._decoded is not None:
            return MemoryLoader(self._decoded, sampler, for_cuda and self._decoded.images.device.type == "cpu")
        labels = self._kept_labels(self._raw.labels)
        return FileLoader(self._raw, labels, self._batch_decoder, sampler, self.on_error, self.num_workers, for_cuda)

    def teardown(self, stage: str | None = None) -> None:
        """End the worker processes."""
        if self._loader is not None:
            self._loader.close()

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Flip the images on the device, and convert them from uint8 to float32 in [-1, 1]."""
        images = batch["image"]
        if self.flip:
            epoch = self._loader.sampler.epoch if self._loader is not None else 0
            images = flip_where(images, flip_coin(batch["index"], mix(self.seed, epoch)))
        return {**batch, "image": to_unit_range(images)}

    def real_batch(self, count: int) -> Tensor:
        """Images chosen by the seed, for reference grids: float32 (count, C, H, W) in [-1, 1] on the CPU.

        Raises:
            DataError: The set has fewer images, or one of these cannot be read.
        """
        self.setup()
        if count > self.size:
            raise DataError(f"The data set has {self.size} images, fewer than the {count} to be shown.")
        if self._cached is not None:
            images = self._cached.images
            chosen = shuffle(self.size, mix(self.seed, REFERENCE))[:count]
            return to_unit_range(images[chosen.to(images.device)].cpu())
        return to_unit_range(self._decode_first(shuffle(len(self._raw), mix(self.seed, REFERENCE)).tolist(), count))

    @cached_property
    def content(self) -> DataContent:
        """Number of images, names of the classes, and `quick_hash`."""
        raw, classes = self._raw, self.classes
        return DataContent(len(raw), classes, quick_hash(raw, self._kept_labels(raw.labels), classes))

    def reals_by_class(self, labels: Sequence[int], count: int, seed: int | None = None) -> list[Tensor]:
        """See `TrainingData.reals_by_class`; by default the images are chosen by the seed of the data set."""
        self.setup()
        known = self._kept_labels(self._raw.labels) if self._decoded is None else self._decoded.labels
        if known is None:
            raise DataError(f"{self.source} has no labels.")
        order = shuffle(self.size, mix(self.seed if seed is None else seed, REFERENCE))
        ordered = known.cpu()[order]
        return [self._images_at(order[ordered == label], count) for label in labels]

    def _images_at(self, places: Tensor, count: int) -> Tensor:
        """The first `count` images at these places in the set, or fewer; float32 (n, C, H, W) in [-1, 1] on the CPU."""
        if self._cached is not None:
            images = self._cached.images
            return to_unit_range(images[places[:count].to(images.device)].cpu())
        found = list(islice(self._readable(places.tolist()), count))
        size = self._decoder.resolution
        return to_unit_range(torch.stack(found) if found else torch.empty(0, self.spec.channels, size, size))

    def fingerprint(self) -> str:
        """Hash of the images' bytes, the labels and the decoder's settings."""
        return fingerprint(self._raw, self._decoder)

    def reals(self, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """See `TrainingData.reals`."""
        if count is None or count >= len(self._raw):
            self._decode_for_evaluation()  # else the others would be decoded in vain
        if count is not None and count > self.size:
            raise DataError(
                f"evaluation.real_images={count}, but {self.source} has {self.size} images; give a smaller number, or "
                "null for all of them."
            )
        total = len(self._raw)
        # Of all images, readable or not, so that the choice does not depend on whether they were decoded before.
        order = torch.arange(total) if count is None else shuffle(total, REALS_SEED)
        labels = self._kept_labels(self._raw.labels)
        for images, positions in self._chunks(order, count, batch_size):
            yield to_unit_range(images), None if labels is None else labels[positions].to(images.device)

    def named(self, batch_size: int) -> Iterator[tuple[Tensor, list[str]]]:
        """See `TrainingData.named`."""
        self._decode_for_evaluation()
        raw = self._raw
        for images, positions in self._chunks(torch.arange(len(raw)), None, batch_size):
            yield to_unit_range(images), [raw.name(position) for position in positions.tolist()]

    def _chunks(self, order: Tensor, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Chunks of the first `count` readable images in this order: uint8 images, and their positions in the set."""
        chunks = self._from_files if self._cached is None else self._from_cache
        return chunks(order, count, batch_size)

    def _from_cache(self, order: Tensor, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """`_chunks` of the decoded images."""
        assert self._cached is not None
        images = self._cached.images
        places = torch.full_like(order, -1)
        places[self._positions] = torch.arange(len(images))
        places = places[order]
        for chosen in places[places >= 0][:count].split(batch_size):
            yield images[chosen.to(images.device)], self._positions[chosen]

    def _from_files(self, order: Tensor, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """`_chunks`, decoded on demand.

        Raises:
            DataError: An image cannot be read and `on_error` is "stop", or fewer than `count` can be read.
        """
        wanted = left = len(order) if count is None else count
        while left and len(order):
            chosen, order = order[: min(batch_size, left)], order[min(batch_size, left) :]
            try:
                numbered = replace(self._raw.at(chosen), labels=chosen)
                decoded = self._decoded_by(decode_all, numbered, self._decoder, progress=False)
            except DataError:
                if self.on_error == "stop":
                    raise
                continue  # none of these can be read
            assert decoded.labels is not None
            left -= len(decoded.images)
            yield decoded.images, decoded.labels
        if left == wanted or (left and count is not None):
            needed = "one" if count is None else f"evaluation.real_images={count}; give a smaller number"
            raise DataError(f"Only {wanted - left} images of {self.source} can be read, fewer than {needed}.")

    def _decode(self) -> None:
        """Decode the set at the first call, if it is to be cached."""
        raw, processes, decoder = self._raw, self._processes, self._batch_decoder
        place = self._choose_cache(self.cache, cache_bytes(len(raw), decoder.channels, decoder.resolution))
        if place == "none":
            self._decoded = None  # it may have been decoded before the number of processes was known
        elif self._decoded is None:
            numbered = replace(raw, labels=torch.arange(len(raw)))  # identify the images that were not skipped
            decoded = self._decoded_by(decode_once, numbered, decoder, progress=processes.rank == 0)
            assert decoded.labels is not None
            self._positions = decoded.labels
            labels = None if raw.labels is None else raw.labels[self._positions]
            self._decoded = DecodedImages(decoded.images, self._kept_labels(labels))
        if place == "device" and self._decoded is not None:
            self._decoded = self._decoded.to(processes.device)

    def _decode_for_evaluation(self) -> None:
        """Decode the set as for batches, so that evaluations can use the cache."""
        self._decode()

    def _decoded_by(
        self, decode: Callable[..., DecodedImages], raw: RawImages, decoder: ImageDecoder, progress: bool
    ) -> DecodedImages:
        try:
            return decode(raw, decoder, self.on_error, progress)
        except DataError as error:
            raise refused(error) if self.on_error == "stop" else error from error

    def _kept_labels(self, labels: Tensor | None) -> Tensor | None:
        return None if self.spec.num_classes is None else labels

    def _decode_first(self, positions: list[int], count: int) -> Tensor:
        """The first `count` of these images, or with `on_error="skip"` of the readable ones; uint8 (count, C, H, W)."""
        images = list(islice(self._readable(positions), count))
        if len(images) < count:
            raise DataError(
                f"Only {len(images)} images of {self.source} can be read, fewer than the {count} to be shown."
            )
        return torch.stack(images)

    def _readable(self, positions: Sequence[int]) -> Iterator[Tensor]:
        return readable(self._raw, self._decoder, positions, self.on_error)


def readable(raw: RawImages, decoder: ImageDecoder, positions: Sequence[int], on_error: str) -> Iterator[Tensor]:
    """The images at these positions, uint8 (C, H, W), with `on_error="skip"` without those that cannot be read.

    Raises:
        DataError: An image cannot be read and `on_error` is "stop".
    """
    for position in positions:
        try:
            yield decoder(raw, position)
        except DataError as error:
            if on_error == "stop":
                raise refused(error) from error


def _check_labels(raw: RawImages, source: str, num_classes: int | None) -> None:
    """Raise DataError unless the labels are in 0..num_classes-1."""
    if num_classes is None:
        return
    if raw.labels is None:
        since = f", since {raw.unlabeled}" if raw.unlabeled else ""
        raise DataError(
            f"dataset.num_classes={num_classes}, but {source} has no labels{since}; give dataset.num_classes=null"
            f"{', or put all images into one folder for each class' if since else ''}."
        )
    if raw.classes is not None and len(raw.classes) != num_classes:
        found = len(raw.classes)
        raise DataError(
            f"dataset.num_classes={num_classes}, but {source} has {found} classes: {shortened(raw.classes)}. If these "
            f"are right, give dataset.num_classes={found}."
        )
    lowest, highest = int(raw.labels.min()), int(raw.labels.max())
    if lowest < 0 or highest >= num_classes:
        raise DataError(
            f"dataset.num_classes={num_classes}, but the labels of {source} range from {lowest} to {highest}; "
            "they must be between 0 and num_classes - 1."
        )
