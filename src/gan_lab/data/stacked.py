"""Stacked digits: three random digits as the channels of one image, which makes 1,000 modes that can be counted."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from gan_lab.data.arguments import check_at_least, check_choice, require_count
from gan_lab.data.base import TrainingData
from gan_lab.data.cache import DecodedImages, cache_bytes, choose_cache, decode_all
from gan_lab.data.content import fingerprint
from gan_lab.data.decode import FITS, Decoder
from gan_lab.data.loaders import ResumableLoader
from gan_lab.data.pixels import to_unit_range
from gan_lab.data.processes import Processes
from gan_lab.data.raw import RawImages
from gan_lab.data.sampler import EpochPosition, check_share
from gan_lab.errors import ConfigError, DataError
from gan_lab.noise import Noise, mix
from gan_lab.types import Batch, DataSpec

CLASSES = 1000

_PLACES = (1, 10, 100)  # what a digit in red, green and blue counts, as in the code of ProGAN
_REALS = 0x5245414C  # seed of the triples that evaluations compare with
_REFERENCE = -1  # in the place of the epoch, for the seed of `real_batch`


class StackedData(TrainingData):
    """Stacked MNIST (Metz et al., 2017): fresh triples of digits in every batch, each a function of (seed, epoch, batch).

    The label is red + 10 green + 100 blue, as in the code of ProGAN (Karras et al., 2018). Digits stay uint8 until they
    are on the training device, where `image` becomes float32 (n, 3, H, W) in [-1, 1].

    `channels` and `num_classes` are there because a config states them for every data set and other parts of it refer
    to them; they cannot be otherwise.

    Args:
        source: Where the digits are, for the reader.
        reader: What opens the source: images with labels 0 to 9, for instance `read_hub` or `read_digits`.
        resolution: Side of the images in pixels, after `fit`.
        batch_size: Images in a batch over all processes.
        seed: What the triples are functions of.
        fit: How digits are made square: "crop", "pad" or "stretch"; see `to_tensor`.
        background: Grey value 0..255 around padded digits.
        batches_per_epoch: Length of an epoch, which random triples do not have by themselves.
        budget_images: How many real images a run sees unless the budget of the run says otherwise; only stored here.
        channels: 3, one for each digit.
        num_classes: 1000.

    Raises:
        ConfigError: A value is not allowed.
    """

    def __init__(
        self,
        source: str,
        reader: Callable[[str], RawImages],
        resolution: int,
        batch_size: int,
        seed: int = 0,
        fit: str = "pad",
        background: int = 0,
        batches_per_epoch: int = 1000,
        budget_images: int = 1_000_000,
        channels: int = 3,
        num_classes: int = CLASSES,
    ) -> None:
        super().__init__()
        _check_arguments(resolution, batch_size, fit, background, batches_per_epoch, budget_images)
        _check_fixed(channels, num_classes)
        self.source = source
        self.reader = reader
        self.spec = DataSpec(channels=3, resolution=resolution, num_classes=CLASSES)
        self.batch_size = batch_size
        self.seed = seed
        self.batches_per_epoch = batches_per_epoch
        self.budget_images = budget_images
        self._decoder = Decoder(1, resolution, fit, background)
        self._raw: RawImages | None = None
        self._digits: DecodedImages | None = None

    @property
    def size(self) -> int:
        """Images in an epoch."""
        return self.batches_per_epoch * self.batch_size

    def prepare_data(self) -> None:
        """Let one process per machine download what is not there yet."""
        self._read()

    def setup(self, stage: str | None = None) -> None:
        """Read the digits, once per process.

        Raises:
            DataError: The source cannot be read, or its labels are not the digits 0 to 9.
        """
        self._read()

    def train_dataloader(self) -> "StackedLoader":
        """Batches of fresh triples; see `StackedLoader` for what is in them.

        Raises:
            DataError: The batch does not divide by the processes, or a digit cannot be read.
        """
        processes = Processes.of(self.trainer)
        digits = self._decoded(processes)
        return StackedLoader(
            digits, self.batches_per_epoch, self.batch_size, self.seed, processes.rank, processes.world
        )

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """On the device: uint8 to float32 in [-1, 1]."""
        return {**batch, "image": to_unit_range(batch["image"])}

    def real_batch(self, count: int) -> Tensor:
        """Images that the seed decides, for reference grids: float32 (count, 3, H, W) in [-1, 1] on the CPU.

        Raises:
            DataError: A digit cannot be read.
        """
        raw = self._read()
        chosen = Noise(mix(self.seed, _REFERENCE), count).integers(len(raw), 3)
        digits = decode_all(raw.at(chosen.flatten()), self._decoder, progress=False)
        return to_unit_range(digits.images.view(count, *self.spec.shape))

    def fingerprint(self) -> str:
        """A hash of the digits' bytes and labels, and how they are decoded."""
        return f"stacked {fingerprint(self._read(), self._decoder)}"

    @property
    def split(self) -> str | None:
        """See `TrainingData.split`."""
        return self._read().split

    def reals(self, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """See `TrainingData.reals`."""
        digits = self._decoded(Processes.of(self.trainer))
        noise = Noise(_REALS, require_count(count))
        for chosen in noise.integers(len(digits.images), 3).split(batch_size):
            images, labels = _stacked(digits, chosen)
            yield to_unit_range(images), labels

    def _read(self) -> RawImages:
        """The digits before decoding, read at the first call."""
        if self._raw is None:
            raw = self.reader(self.source)
            _check_digits(raw, self.source)
            self._raw = raw
        return self._raw

    def _decoded(self, processes: Processes) -> DecodedImages:
        """The digits, decoded at the first call: on the device if they fit there easily, else in main memory."""
        raw = self._read()
        if self._digits is None:
            self._digits = decode_all(raw, self._decoder, progress=processes.rank == 0)
        nbytes = cache_bytes(len(raw), 1, self._decoder.resolution)
        place = choose_cache("auto", nbytes, processes.device, processes.on_this_machine)
        self._digits = self._digits.to(processes.device if place == "device" else "cpu")
        return self._digits


class StackedLoader(ResumableLoader):
    """Batches of fresh triples of digits, each a function of (seed, epoch, batch in the epoch).

    Yields `image` uint8 (n, 3, H, W) and `label` int64 (n,), red + 10 green + 100 blue.

    Args:
        digits: The decoded digits, uint8 (N, 1, H, W) with labels 0 to 9, in main memory or on the training device.
        batches_per_epoch: Length of an epoch.
        global_batch: Images in a batch over all processes.
        seed: What the triples are functions of.
        rank: Number of this process; it takes every `world`-th image.
        world: Number of processes.

    Raises:
        DataError: The batch does not divide by the processes.
    """

    def __init__(
        self,
        digits: DecodedImages,
        batches_per_epoch: int,
        global_batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        check_share(global_batch, world)
        super().__init__(EpochPosition(batches_per_epoch))
        self.digits = digits
        self.global_batch = global_batch
        self.seed = seed
        self.rows = slice(rank, None, world)

    def _batches(self, start: int) -> Iterator[Batch]:
        for number in range(start, len(self)):
            noise = Noise(mix(self.seed, self.sampler.epoch, number), self.global_batch, self.rows)
            images, labels = _stacked(self.digits, noise.integers(len(self.digits.images), 3))
            yield {"image": images, "label": labels}


def _stacked(digits: DecodedImages, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Images uint8 (n, 3, H, W) and labels (n,) of the digits at positions (n, 3), where the digits are."""
    assert digits.labels is not None
    chosen = chosen.to(digits.images.device)
    images = digits.images.index_select(0, chosen.flatten()).view(len(chosen), 3, *digits.images.shape[2:])
    return images, (digits.labels[chosen] * torch.tensor(_PLACES, device=chosen.device)).sum(1)


def _check_arguments(
    resolution: int, batch_size: int, fit: str, background: int, batches_per_epoch: int, budget_images: int
) -> None:
    """Refuse values that make no images or no epoch."""
    check_at_least("dataset.resolution", resolution, 1)
    check_at_least("batch_size", batch_size, 1)
    check_choice("dataset.fit", fit, FITS)
    if not 0 <= background <= 255:
        raise ConfigError(f"dataset.background={background} is no grey value; give one from 0 (black) to 255 (white).")
    check_at_least("dataset.batches_per_epoch", batches_per_epoch, 1)
    check_at_least("dataset.budget_images", budget_images, 1)


def _check_fixed(channels: int, num_classes: int) -> None:
    """Refuse statements about the images that are not so."""
    if channels != len(_PLACES):
        raise ConfigError(f"dataset.channels={channels} is not possible; there are three digits, so it must be 3.")
    if num_classes != CLASSES:
        raise ConfigError(
            f"dataset.num_classes={num_classes} is not possible; three digits make {CLASSES} classes, so it must be {CLASSES}."
        )


def _check_digits(raw: RawImages, source: str) -> None:
    """Refuse images that are not labelled as digits."""
    if raw.labels is None or not len(raw) or int(raw.labels.min()) < 0 or int(raw.labels.max()) > 9:
        raise DataError(f"dataset.source={source} has no labels from 0 to 9; stacked digits need a set that has them.")
