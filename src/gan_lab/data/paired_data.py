"""Data module for pairs of images."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice
from typing import cast

import torch
from torch import Tensor

from gan_lab.data.arguments import check_choice
from gan_lab.data.base import REALS_SEED
from gan_lab.data.content import DataContent, quick_hash
from gan_lab.data.decode import LabelMapDecoder
from gan_lab.data.image_data import ImageData, readable
from gan_lab.data.jitter import Jitter
from gan_lab.data.pairs import PairDecoder, RawPairs
from gan_lab.data.pixels import to_unit_range
from gan_lab.data.sampler import shuffle
from gan_lab.data.sides import DIRECTIONS, SIDES
from gan_lab.data.splits import UnknownSplit
from gan_lab.errors import ConfigError, DataError
from gan_lab.noise import mix
from gan_lab.types import Batch, DataSpec


class PairedData(ImageData):
    """Shuffled batches of pairs for image-to-image translation: `image`, to make, and `source`, which is given.

    Both are float32 in [-1, 1], and get the same jitter: enlarged by a factor, a random crop, a random mirror, as a
    function of (seed, epoch, image). Evaluations get images without jitter; `reals` and `named` yield the images to
    make.

    Args:
        source: Where the images are, for the reader.
        reader: Function such as `read_pairs`; called with the source, `split` and `direction`.
        direction: `AtoB`: `source` is A and `image` is B; or `BtoA`.
        resolution: Resolution of both images in pixels, after `fit`.
        channels: Of `image`: 1 gray, 3 RGB, 4 RGBA.
        source_channels: Of `source`.
        batch_size: Pairs in a batch over all processes.
        num_classes: None; pairs have no labels.
        held_out: Names of splits: the pairs of figures and of paired metrics are from the first that the source has,
            else from training.
        label_maps: Sides that are label maps, which are resized by nearest neighbor: A, B.
        jitter: Factor of at least 1 by which images are enlarged before the random crop; None for none.
        flip: Mirror each pair with probability 1/2 in each epoch.
        seed: As in `ImageData`, like the arguments below; an image that cannot be used excludes its pair.

    Raises:
        ConfigError: A value is not allowed.
    """

    def __init__(
        self,
        source: str,
        reader: Callable[..., RawPairs],
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
            raise ConfigError(f"dataset.num_classes={num_classes} is not possible, since pairs have no labels.")
        for side in label_maps:
            check_choice("dataset.label_maps", side, SIDES)
        read = partial(reader, direction=direction)
        super().__init__(
            source,
            read,
            resolution,
            channels,
            None,
            batch_size,
            seed,
            flip,
            cache,
            fit,
            background,
            min_resolution,
            on_error,
            num_workers,
            budget_images,
            max_images,
            exclude,
            filter,
        )
        self.spec = DataSpec(channels, resolution, source_channels=source_channels)
        self.direction = direction
        self._read_pairs = read
        self.held_out = held_out
        self._jitter = Jitter(resolution, jitter, flip)
        given, made = direction.split("to")
        filters = {side: "nearest" if side in label_maps else filter for side in SIDES}
        target = LabelMapDecoder(channels, resolution, fit, background, min_resolution, filters[made])
        self._decoder = target
        given_decoder = LabelMapDecoder(source_channels, resolution, fit, background, min_resolution, filters[given])
        self._pair_decoder = PairDecoder(target, given_decoder)

    @cached_property
    def _raw(self) -> RawPairs:
        """See `ImageData._raw`."""
        return cast(RawPairs, super()._raw)

    @cached_property
    def _held_out(self) -> RawPairs:
        """The pairs of the first existing split of `held_out`; those of training if there is none."""
        for split in self.held_out:
            with suppress(UnknownSplit):
                return self._read_pairs(self.source, split=split)
        return self._raw

    @property
    def _batch_decoder(self) -> PairDecoder:
        """See `ImageData._batch_decoder`; the pairs are enlarged for the jitter."""
        enlarged = self._jitter.enlarged
        return PairDecoder(
            replace(self._pair_decoder.target, resolution=enlarged),
            replace(self._pair_decoder.source, resolution=enlarged),
        )

    @property
    def _cached(self) -> None:
        """See `ImageData._cached`: the cached pairs are enlarged, so evaluations decode images on demand."""
        return None

    def _decode_for_evaluation(self) -> None:
        """Nothing: images are decoded on demand."""

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Crop and flip the pairs on the device, convert them to float32 in [-1, 1], and separate the images."""
        epoch = self._loader.sampler.epoch if self._loader is not None else 0
        pairs = self._jitter(batch["image"], batch["index"], mix(self.seed, epoch))
        return {**batch, **self._separated(pairs)}

    def _separated(self, pairs: Tensor) -> Batch:
        """`image` and `source` of decoded pairs, uint8 (n, C + C_source, H, W)."""
        sizes = [self._pair_decoder.target.channels, self._pair_decoder.source.channels]
        image, source = to_unit_range(pairs).split(sizes, 1)
        return {"image": image, "source": source}

    def examples(self, count: int) -> Batch:
        """At most `count` held-out pairs, the same at each call: `image` and `source`, on the CPU.

        Raises:
            DataError: An image cannot be read.
        """
        return next(self.held_out_pairs(count, count))

    def held_out_pairs(self, count: int | None, batch_size: int) -> Iterator[Batch]:
        """Pairs of the held-out split for paired metrics, in chunks, without jitter: the same at each call.

        Args:
            count: At most this number of pairs, chosen by a fixed seed; None for all, in their order.
            batch_size: Pairs in a chunk.

        Yields:
            `image` and `source`, on the CPU.

        Raises:
            DataError: A pair cannot be read, or none can.
        """
        raw = self._held_out
        order = torch.arange(len(raw)) if count is None else shuffle(len(raw), REALS_SEED)
        pairs = islice(readable(raw, self._pair_decoder, order.tolist(), self.on_error), count)
        first = True
        while chunk := list(islice(pairs, batch_size)):
            first = False
            yield self._separated(torch.stack(chunk))
        if first:
            raise DataError(f"None of the {len(raw):,} held-out pairs of {self.source} can be read.")

    @cached_property
    def content(self) -> DataContent:
        """Number of pairs, and hash of the images of both sides in their roles."""
        raw = self._raw
        hashes = [quick_hash(raw, None), quick_hash(raw.given(), None), self.direction]
        return DataContent(len(raw), None, hashlib.sha256(" ".join(hashes).encode()).hexdigest()[:24])

    def fingerprint(self) -> str:
        """Hash of the images to make, of the direction and of the decoder's settings."""
        return f"{self.direction} {super().fingerprint()}"
