"""Base class of the data modules for image-to-image translation."""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice
from typing import ClassVar, cast

import torch
from torch import Tensor

from gan_lab.data.arguments import check_choice
from gan_lab.data.base import REALS_SEED
from gan_lab.data.content import DataContent, quick_hash
from gan_lab.data.decode import Decoder, LabelMapDecoder, check_channels
from gan_lab.data.domains import DIRECTIONS, DOMAINS, RawTranslation
from gan_lab.data.image_data import ImageData
from gan_lab.data.jitter import Jitter
from gan_lab.data.pixels import to_unit_range
from gan_lab.data.raw import RawImages
from gan_lab.data.sampler import shuffle
from gan_lab.data.splits import UnknownSplit
from gan_lab.data.summary import summary
from gan_lab.errors import ConfigError, DataError
from gan_lab.noise import mix
from gan_lab.types import Batch, DataSpec


class TranslationData(ImageData):
    """Shuffled batches with `image`, what a generator shall make, and `source`, what it is given.

    Both are float32 in [-1, 1], with a random crop and mirror that are a function of (seed, epoch, image). Evaluations
    get images without them; `reals` and `named` yield what the generator shall make. An epoch has each of these images
    once.

    Args:
        source: Where the images are, for the reader.
        reader: Function such as `read_pairs`; called with the source, `direction` and perhaps `split`.
        direction: `AtoB`: `source` is A and `image` is B; or `BtoA`.
        resolution: Resolution of both images in pixels, after `fit`.
        channels: Of `image`: 1 gray, 3 RGB, 4 RGBA.
        source_channels: Of `source`.
        batch_size: Images in a batch over all processes.
        num_classes: None; there are no labels.
        held_out: Names of splits: figures and evaluations use the first that the source has, else that of training.
        label_maps: Domains that are label maps, which are resized by nearest neighbor: A, B.
        jitter: Factor of at least 1 by which images are enlarged before the random crop; None for none.
        flip: Mirror with probability 1/2 in each epoch.
        seed: As in `ImageData`, like the arguments below.

    Raises:
        ConfigError: A value is not allowed.
    """

    decoder_class: ClassVar[type[Decoder]] = LabelMapDecoder

    def __init__(
        self,
        source: str,
        reader: Callable[..., RawTranslation],
        direction: str,
        resolution: int,
        channels: int,
        source_channels: int,
        batch_size: int,
        num_classes: None = None,
        held_out: Sequence[str] = ("test", "val"),
        label_maps: Sequence[str] = (),
        jitter: float | None = None,
        flip: bool = False,
        seed: int = 0,
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
        check_choice("dataset.direction", direction, DIRECTIONS)
        if num_classes is not None:
            raise ConfigError(
                f"dataset.num_classes={num_classes} is not possible, since sets for image-to-image translation have no "
                "labels; give null."
            )
        for domain in label_maps:
            check_choice("dataset.label_maps", domain, DOMAINS)
        check_channels("dataset.source_channels", source_channels)
        given, made = direction.split("to")
        filters = {domain: "nearest" if domain in label_maps else filter for domain in DOMAINS}
        self._read = partial(reader, direction=direction)
        super().__init__(
            source, self._read, resolution, channels, None, batch_size, seed, flip, cache, fit, background,
            min_resolution, on_error, num_workers, budget_images, max_images, exclude, filters[made],
        )  # fmt: skip
        self.spec = DataSpec(channels, resolution, source_channels=source_channels)
        self.direction = direction
        self._held_out_splits = held_out
        self._jitter = Jitter(resolution, jitter, flip)
        self._source_decoder = replace(self._decoder, channels=source_channels, filter=filters[given])

    @cached_property
    def _raw(self) -> RawTranslation:
        """See `ImageData._raw`."""
        return cast(RawTranslation, super()._raw)

    @cached_property
    def _held_out(self) -> RawTranslation:
        """The first existing split of `held_out`; that of training if there is none."""
        for split in self._held_out_splits:
            with suppress(UnknownSplit):
                return self._read(self.source, split=split)
        return self._raw

    @property
    def _cached(self) -> None:
        """See `ImageData._cached`: cached images are enlarged, so evaluations decode images on demand."""
        return None

    def _decode_for_evaluation(self) -> None:
        """Nothing: images are decoded on demand."""

    def _enlarged(self, decoder: Decoder) -> Decoder:
        """A decoder of the images from which random crops are taken."""
        return replace(decoder, resolution=self._jitter.enlarged)

    def _jitter_key(self) -> int:
        """Key of the random crops and mirrors of this epoch."""
        return mix(self.seed, self._loader.sampler.epoch if self._loader is not None else 0)

    @abstractmethod
    def _examples(self, raw: RawTranslation) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and sources in an order chosen by a fixed seed: uint8 (C, H, W) and (C_source, H, W)."""

    def examples(self, count: int) -> Batch:
        """At most `count` held-out samples, the same at each call: `image` and `source`, on the CPU.

        Raises:
            DataError: An image cannot be read.
        """
        return next(self.held_out_pairs(count, count))

    @property
    def held_out_size(self) -> int:
        """See `TrainingData.held_out_size`."""
        return len(self._held_out)

    @property
    def held_out_split(self) -> str | None:
        """See `TrainingData.held_out_split`."""
        return self._held_out.split

    def held_out_pairs(self, count: int | None, batch_size: int) -> Iterator[Batch]:
        """See `TrainingData.held_out_pairs`: `image` and `source`, on the CPU, without random crops and mirrors.

        Raises:
            DataError: An image cannot be read.
        """
        found = islice(self._examples(self._held_out), count)
        empty = True
        while chunk := list(islice(found, batch_size)):
            images, sources = zip(*chunk, strict=True)
            yield {"image": to_unit_range(torch.stack(images)), "source": to_unit_range(torch.stack(sources))}
            empty = False
        if empty:
            raise DataError(f"None of the images of the split {self.held_out_split} of {self.source} can be used.")

    def summary(self) -> str:
        """What was found at the source, of both domains, in one line."""
        raw = self._raw if self._decoded is None else self._raw.at(self._positions)
        given, made = self.direction.split("to")
        domains = [
            f"{made}, to make: {summary(raw, self._decoder, None)}",
            f"{given}, given: {summary(raw.given(), self._source_decoder, None)}",
        ]
        held_out = f"held out: {len(self._held_out):,} images of the split {self.held_out_split}"
        return "; ".join([*domains, held_out if self._held_out is not self._raw else "no held-out images"])

    def label_advice(self) -> str:
        """See `ImageData.label_advice`."""
        return f"{self.source} is a set for image-to-image translation and has none; give conditioning=source_image"

    def undecoded(self) -> tuple[RawImages, Decoder]:
        """See `ImageData.undecoded`.

        Raises:
            DataError: Always, since one list of images is not the complete set.
        """
        raise DataError(
            f"{self.source} is a set for image-to-image translation, whose images cannot be prepared; they are decoded "
            "once at the start of a run anyway, if they fit into memory (dataset.cache)."
        )

    @cached_property
    def content(self) -> DataContent:
        """Number of images to make, and hash of the images of both domains in their roles."""
        raw = self._raw
        hashes = [quick_hash(raw, None), quick_hash(raw.given(), None), self.direction]
        return DataContent(len(raw), None, hashlib.sha256(" ".join(hashes).encode()).hexdigest()[:24])

    def fingerprint(self) -> str:
        """Hash of the images to make and of the decoder's settings, with the direction."""
        return f"{self.direction} {super().fingerprint()}"


def order_of(raw: RawImages) -> list[int]:
    """All positions in a set, in an order chosen by a fixed seed."""
    return shuffle(len(raw), REALS_SEED).tolist()
