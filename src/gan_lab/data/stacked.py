"""Stacked digits: three random digits as the channels of one image, with 1,000 countable modes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gan_lab.data.cache import DecodedImages, cache_bytes, decode_once
from gan_lab.data.content import DataContent, fingerprint, quick_hash
from gan_lab.data.decode import Decoder
from gan_lab.data.distribution_data import DistributionData
from gan_lab.data.pixels import to_unit_range
from gan_lab.data.raw import RawImages
from gan_lab.errors import ConfigError, DataError
from gan_lab.noise import Noise
from gan_lab.types import DataSpec

CLASSES = 1000

_PLACES = (1, 10, 100)  # weight of a digit in red, green and blue, as in the code of ProGAN


@dataclass(frozen=True)
class DigitTriples:
    """Distribution of images with three independent digits as red, green and blue.

    Args:
        digits: The decoded digits, uint8 (N, 1, H, W) with labels 0 to 9, in main memory or on the training device.
    """

    digits: DecodedImages

    def sample(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """Images uint8 (n, 3, H, W) and labels int64 (n,), red + 10 green + 100 blue, on the device of the digits."""
        images, labels = self.digits.images, self.digits.labels
        assert labels is not None
        chosen = noise.integers(len(images), 3).to(images.device)
        triples = images.index_select(0, chosen.flatten()).view(len(chosen), 3, *images.shape[2:])
        return triples, (labels[chosen] * torch.tensor(_PLACES, device=chosen.device)).sum(1)


class StackedData(DistributionData):
    """Stacked MNIST (Metz et al., 2017): new triples of digits in every batch, a function of (seed, epoch, batch).

    The label is red + 10 green + 100 blue, as in the code of ProGAN (Karras et al., 2018). Digits stay uint8 until they
    are on the training device, where `image` becomes float32 (n, 3, H, W) in [-1, 1].

    `channels` and `num_classes` exist because other parts of the config refer to these keys of every data set; each
    has only one allowed value.

    Args:
        source: Source of the digits, for the reader.
        reader: Function that reads images with labels 0 to 9, for instance `read_hub` or `read_digits`.
        resolution: Resolution of the images in pixels, after `fit`.
        batch_size: Images in a batch over all processes.
        seed: Seed of the triples.
        fit: Method to make digits square: "crop", "pad" or "stretch"; see `to_tensor`.
        background: Gray value 0..255 around padded digits.
        batches_per_epoch: Length of an epoch, which random triples do not define.
        budget_images: Default for the number of real images that a run sees; only stored here.
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
        _check_fixed(channels, num_classes)
        spec = DataSpec(channels=3, resolution=resolution, num_classes=CLASSES)
        super().__init__(spec, batch_size, seed, batches_per_epoch, budget_images)
        self.source: str = source
        self.reader = reader
        self._decoder = Decoder(1, resolution, fit, background)
        self._digits: DecodedImages | None = None

    @cached_property
    def _raw(self) -> RawImages:
        """The digits before decoding, read at the first use."""
        raw = self.reader(self.source)
        _check_digits(raw, self.source)
        return raw

    @property
    def distribution(self) -> DigitTriples:
        """Distribution of the digits, decoded at the first use; on the device if `choose_cache` allows it."""
        if self._digits is None:
            self._digits = decode_once(self._raw, self._decoder, progress=self._processes.rank == 0)
        place = self._choose_cache("auto", cache_bytes(len(self._raw), 1, self._decoder.resolution))
        self._digits = self._digits.to(self._processes.device if place == "device" else "cpu")
        return DigitTriples(self._digits)

    def _finish(self, samples: Tensor) -> Tensor:
        """Convert uint8 to float32 in [-1, 1]."""
        return to_unit_range(samples)

    @cached_property
    def content(self) -> DataContent:
        """Number and `quick_hash` of the digits."""
        return DataContent(len(self._raw), self.classes, quick_hash(self._raw, self._raw.labels))

    def fingerprint(self) -> str:
        """Hash of the digits' bytes, the labels and the decoder's settings."""
        return f"stacked {fingerprint(self._raw, self._decoder)}"


def _check_fixed(channels: int, num_classes: int) -> None:
    """Raise ConfigError unless the values are the only allowed ones."""
    if channels != len(_PLACES):
        raise ConfigError(f"dataset.channels={channels} is not possible; there are three digits, so it must be 3.")
    if num_classes != CLASSES:
        raise ConfigError(
            f"dataset.num_classes={num_classes} is not possible; three digits have {CLASSES} classes, so it must be "
            f"{CLASSES}."
        )


def _check_digits(raw: RawImages, source: str) -> None:
    """Raise DataError unless the labels are digits."""
    if raw.labels is None or not len(raw) or int(raw.labels.min()) < 0 or int(raw.labels.max()) > 9:
        raise DataError(
            f"dataset.source={source} has no labels from 0 to 9; stacked digits require a data set of labeled digits."
        )
