"""The data module of image sets."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from gan_lab.data.arguments import check_at_least, check_choice
from gan_lab.data.base import TrainingData
from gan_lab.data.cache import CACHES, DecodedImages, cache_bytes, choose_cache, decode_all
from gan_lab.data.content import fingerprint
from gan_lab.data.decode import FITS, Decoder
from gan_lab.data.exclude import read_excluded, without
from gan_lab.data.file_loader import FileLoader
from gan_lab.data.loaders import MemoryLoader, ResumableLoader
from gan_lab.data.pixels import flip_coin, flip_where, to_unit_range
from gan_lab.data.processes import Processes
from gan_lab.data.raw import RawImages
from gan_lab.data.sampler import ChangingSampler, EpochSampler, shuffle
from gan_lab.errors import ConfigError, DataError
from gan_lab.noise import mix
from gan_lab.types import Batch, DataSpec

# In the place of the epoch, for the seeds of `real_batch` and of the images that `max_images` picks.
_REFERENCE = -1
_SUBSET = -2
_REALS = (
    0x5245414C  # seed of the images that evaluations compare with; any number will do, so long as it stays the same
)


class ImageData(TrainingData):
    """Reads an image set once per process and yields shuffled batches with images in [-1, 1].

    Images stay uint8 until they are on the training device. The order is a function of (seed, epoch), the flip of
    (seed, epoch, image), so neither depends on the number of processes or on an interruption of the run.

    Args:
        source: Where the images are, for the reader.
        reader: What opens the source, for instance `read_hub` or `read_image_folder`.
        resolution: Side of the images in pixels, after `fit`.
        channels: 1 grey, 3 RGB, 4 RGBA.
        num_classes: Number of labels, or None to train without labels, even if the source has some.
        batch_size: Images in a batch over all processes.
        seed: What the order and the flips are functions of.
        flip: Mirror each image left to right in half of the epochs, at random.
        cache: Where decoded images are kept: "auto", "device", "memory" or "none"; see `choose_cache`.
        fit: How images are made square: "crop", "pad" or "stretch"; see `to_tensor`.
        background: Grey value 0..255 below transparent pixels and around padded images.
        min_side: Images whose shorter side has fewer pixels count as unreadable.
        on_error: "stop" at an unreadable image, or "skip" it with a warning.
        num_workers: Worker processes that decode, if the images are not cached.
        max_images: Train on so many images, which the seed picks; None for all.
        budget_images: How many real images a run sees unless the budget of the run says otherwise; only stored here.
        exclude: A `duplicates.csv` of `gan-lab duplicates`: the images that it drops are left out, before `max_images`.

    Raises:
        ConfigError: A value is not allowed.
    """

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
        min_side: int = 2,
        on_error: str = "stop",
        num_workers: int = 0,
        budget_images: int = 1_000_000,
        max_images: int | None = None,
        exclude: str | None = None,
    ) -> None:
        super().__init__()
        _check_arguments(
            resolution, channels, num_classes, batch_size, background, min_side, num_workers, budget_images
        )
        if max_images is not None:
            check_at_least("dataset.max_images", max_images, 1)
        check_choice("dataset.cache", cache, CACHES)
        check_choice("dataset.fit", fit, FITS)
        check_choice("dataset.on_error", on_error, ("stop", "skip"))
        self.source = source
        self.reader = reader
        self.spec = DataSpec(channels, resolution, num_classes)
        self.batch_size = batch_size
        self.seed = seed
        self.flip = flip
        self.cache = cache
        self.on_error = on_error
        self.num_workers = num_workers
        self.budget_images = budget_images
        self.max_images = max_images
        self.exclude = exclude
        self._decoder = Decoder(channels, resolution, fit, background, min_side)
        self._raw: RawImages | None = None
        self._decoded: DecodedImages | None = None
        self._positions = torch.empty(0, dtype=torch.long)  # in the set before decoding, of the decoded images
        self._loader: ResumableLoader | None = None

    @property
    def size(self) -> int:
        """Images in the set; once it is decoded, without those that were skipped."""
        return len(self._read()) if self._decoded is None else len(self._decoded.images)

    @property
    def classes(self) -> list[str] | None:
        """Names of the labels 0, 1, …, or None where the set has no labels or does not name them."""
        classes = self._read().classes
        return None if classes is None or self.spec.num_classes is None else list(classes)

    def undecoded(self) -> tuple[RawImages, Decoder]:
        """The set before decoding, without what `exclude` and `max_images` leave out, and what decodes it.

        Raises:
            DataError: The source cannot be read, or the labels do not fit `num_classes`.
        """
        return self._read(), self._decoder

    def prepare_data(self) -> None:
        """Let one process per machine download what is not there yet."""
        self._read()

    def setup(self, stage: str | None = None) -> None:
        """Read the set and, inside a trainer, decode it if it is cached; once per process, however often it is called.

        Without a trainer it is not known where and in how many processes the set will be kept, so it is only read.

        Raises:
            DataError: The source or an image cannot be read, or the labels do not fit `num_classes`.
        """
        self._read()
        if self.trainer is not None:
            self._decode()

    def train_dataloader(self) -> ResumableLoader:
        """Batches of the set; see `MemoryLoader` for what is in them. Without a trainer for one process on the CPU.

        Raises:
            DataError: The batch does not divide by the processes, or the set has fewer images than a batch.
        """
        self._decode()
        processes = Processes.of(self.trainer)
        sampler = self._sampler(processes.rank, processes.world)
        pin_memory = processes.device.type == "cuda"
        if self._decoded is not None:
            pin_memory = pin_memory and self._decoded.images.device.type == "cpu"
            self._loader = MemoryLoader(self._decoded, sampler, pin_memory)
        else:
            raw, labels = self._read(), self._kept_labels(self._read().labels)
            self._loader = FileLoader(raw, labels, self._decoder, sampler, self.on_error, self.num_workers, pin_memory)
        return self._loader

    def _sampler(self, rank: int, world: int) -> EpochSampler | ChangingSampler:
        if self.batch_sizes is None:
            return EpochSampler(self.size, self.batch_size, self.seed, rank, world)
        return ChangingSampler(self.size, self.batch_sizes, self.seed, rank, world)

    def teardown(self, stage: str | None = None) -> None:
        """End the worker processes."""
        if isinstance(self._loader, FileLoader):
            self._loader.close()

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """On the device: flip, and uint8 to float32 in [-1, 1]."""
        images = batch["image"]
        if self.flip:
            epoch = self._loader.sampler.epoch if self._loader is not None else 0
            images = flip_where(images, flip_coin(batch["index"], mix(self.seed, epoch)))
        return {**batch, "image": to_unit_range(images)}

    def real_batch(self, count: int) -> Tensor:
        """Images that the seed picks, for reference grids: float32 (count, C, H, W) in [-1, 1] on the CPU.

        Raises:
            DataError: The set has fewer images, or one of these cannot be read.
        """
        self.setup()
        if count > self.size:
            raise DataError(f"The data set has {self.size} images, fewer than the {count} that are to be shown.")
        chosen = shuffle(self.size, mix(self.seed, _REFERENCE))
        if self._decoded is not None:
            images = self._decoded.images
            return to_unit_range(images[chosen[:count].to(images.device)].cpu())
        return to_unit_range(self._decode_first(chosen.tolist(), count))

    def fingerprint(self) -> str:
        """A hash of the images' bytes, the labels, and how images are decoded."""
        return fingerprint(self._read(), self._decoder)

    @property
    def split(self) -> str | None:
        """See `TrainingData.split`."""
        return self._read().split

    def reals(self, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """See `TrainingData.reals`."""
        self._decode()
        if count is not None and count > self.size:
            raise DataError(
                f"evaluation.real_images={count}, but {self.source} has {self.size} images; give a smaller number, or null "
                "for all of them."
            )
        whole = len(self._read())
        # Of all images, readable or not, so that the choice is the same whether they were decoded before or not.
        order = torch.arange(whole) if count is None else shuffle(whole, _REALS)
        labels = self._kept_labels(self._read().labels)
        for images, positions in self._parts(order, count, batch_size):
            yield to_unit_range(images), None if labels is None else labels[positions].to(images.device)

    def named(self, batch_size: int) -> Iterator[tuple[Tensor, list[str]]]:
        """See `TrainingData.named`."""
        self._decode()
        raw = self._read()
        for images, positions in self._parts(torch.arange(len(raw)), None, batch_size):
            yield to_unit_range(images), [raw.name(position) for position in positions.tolist()]

    def _parts(self, order: Tensor, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The first `count` images uint8 in this order, those that are skipped left out, and their positions in the set."""
        parts = self._from_files if self._decoded is None else self._from_cache
        return parts(order, count, batch_size)

    def _from_cache(self, order: Tensor, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `_parts`."""
        assert self._decoded is not None
        images = self._decoded.images
        places = torch.full_like(order, -1)
        places[self._positions] = torch.arange(len(images))
        places = places[order]
        for chosen in places[places >= 0][:count].split(batch_size):
            yield images[chosen.to(images.device)], self._positions[chosen]

    def _from_files(self, order: Tensor, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The same, decoded as they come.

        Raises:
            DataError: An image cannot be read and is not to be skipped, or too few are left.
        """
        wanted = left = len(order) if count is None else count
        while left and len(order):
            chosen, order = order[: min(batch_size, left)], order[min(batch_size, left) :]
            try:
                numbered = replace(self._read().at(chosen), labels=chosen)
                decoded = decode_all(numbered, self._decoder, self.on_error, progress=False)
            except DataError:
                if self.on_error == "stop":
                    raise
                continue  # none of these can be used
            assert decoded.labels is not None
            left -= len(decoded.images)
            yield decoded.images, decoded.labels
        if left == wanted or (left and count is not None):
            needed = "one" if count is None else f"evaluation.real_images={count}; give a smaller number"
            raise DataError(f"Only {wanted - left} images of {self.source} can be read, fewer than {needed}.")

    def _read(self) -> RawImages:
        """The set before decoding, read at the first call."""
        if self._raw is None:
            raw = self.reader(self.source)
            _check_labels(raw, self.source, self.spec.num_classes)
            if self.exclude is not None:
                raw = without(raw, read_excluded(self.exclude), self.exclude)
            if self.max_images is not None and self.max_images < len(raw):
                raw = raw.at(shuffle(len(raw), mix(self.seed, _SUBSET))[: self.max_images].sort().values)
            self._raw = raw
        return self._raw

    def _decode(self) -> None:
        """Fill the cache at the first call, if there is to be one."""
        raw, processes = self._read(), Processes.of(self.trainer)
        nbytes = cache_bytes(len(raw), self.spec.channels, self._decoder.resolution)
        place = choose_cache(self.cache, nbytes, processes.device, processes.on_this_machine)
        if place != "none" and self._decoded is None:
            numbered = replace(raw, labels=torch.arange(len(raw)))  # so that it is known which ones were skipped
            decoded = decode_all(numbered, self._decoder, self.on_error, progress=processes.rank == 0)
            assert decoded.labels is not None
            self._positions = decoded.labels
            labels = None if raw.labels is None else raw.labels[self._positions]
            self._decoded = DecodedImages(decoded.images, self._kept_labels(labels))
        if place == "device" and self._decoded is not None:
            self._decoded = self._decoded.to(processes.device)

    def _kept_labels(self, labels: Tensor | None) -> Tensor | None:
        return None if self.spec.num_classes is None else labels

    def _decode_first(self, positions: list[int], count: int) -> Tensor:
        """The first `count` of these images, or with `on_error="skip"` of the readable ones: uint8 (count, C, H, W)."""
        images: list[Tensor] = []
        for position in positions:
            if len(images) == count:
                break
            try:
                images.append(self._decoder(self._read(), position))
            except DataError:
                if self.on_error == "stop":
                    raise
        if len(images) < count:
            raise DataError(
                f"Only {len(images)} images of {self.source} can be read, fewer than the {count} to be shown."
            )
        return torch.stack(images)


def _check_arguments(
    resolution: int,
    channels: int,
    num_classes: int | None,
    batch_size: int,
    background: int,
    min_side: int,
    num_workers: int,
    budget_images: int,
) -> None:
    """Refuse numbers that make no data set."""
    check_at_least("dataset.resolution", resolution, 1)
    if channels not in (1, 3, 4):
        raise ConfigError(f"dataset.channels={channels} is not possible; choose 1 (grey), 3 (RGB) or 4 (RGBA).")
    if num_classes is not None:
        check_at_least("dataset.num_classes", num_classes, 1)
    check_at_least("batch_size", batch_size, 1)
    if not 0 <= background <= 255:
        raise ConfigError(f"dataset.background={background} is no grey value; give one from 0 (black) to 255 (white).")
    check_at_least("dataset.min_side", min_side, 1)
    check_at_least("dataset.num_workers", num_workers, 0)
    check_at_least("dataset.budget_images", budget_images, 1)


def _check_labels(raw: RawImages, source: str, num_classes: int | None) -> None:
    """Refuse labels that are not 0..num_classes-1."""
    if num_classes is None:
        return
    if raw.labels is None:
        raise DataError(
            f"dataset.num_classes={num_classes}, but {source} has no labels; give dataset.num_classes=null."
        )
    if raw.classes is not None and len(raw.classes) != num_classes:
        found = len(raw.classes)
        raise DataError(
            f"dataset.num_classes={num_classes}, but {source} has {found} classes; give dataset.num_classes={found}."
        )
    lowest, highest = int(raw.labels.min()), int(raw.labels.max())
    if lowest < 0 or highest >= num_classes:
        raise DataError(
            f"dataset.num_classes={num_classes}, but the labels of {source} go from {lowest} to {highest}; "
            "they must lie between 0 and num_classes - 1."
        )
