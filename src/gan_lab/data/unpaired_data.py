"""Data module for two sets of images without pairs."""

from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar

from torch import Tensor

from gan_lab.data.decode import Decoder, ImageDecoder, LabelMapDecoder
from gan_lab.data.domains import RawTranslation
from gan_lab.data.image_data import ImageData, readable
from gan_lab.data.loaders import ResumableLoader, SourceLoader
from gan_lab.data.pixels import to_unit_range
from gan_lab.data.sampler import ChangingSampler, CyclingSampler, EpochSampler, IndexSampler
from gan_lab.data.translation_data import TranslationData, order_of
from gan_lab.noise import mix
from gan_lab.types import Batch

_SOURCES = -3  # used instead of an epoch in the seed of the order and of the jitter of the sources


class UnpairedData(TranslationData):
    """Batches of two sets of any sizes, whose images are independent; see `TranslationData` for the arguments.

    An epoch has each image to make once. The sources are consecutive random permutations of their set, whatever the
    epoch, so each comes once before any comes again. Each image has its own random crop and mirror.
    """

    has_pairs: ClassVar[bool] = False

    @cached_property
    def _sources(self) -> ImageData:
        """The set of sources, with the settings of this one."""
        decoder, raw = self._enlarged(self._source_decoder), self._raw.given()
        return _Sources(
            self.source, lambda source: raw, decoder.resolution, decoder.channels, None, self.batch_size, self.seed,
            cache=self.cache, fit=decoder.fit, background=decoder.background, min_resolution=decoder.min_resolution,
            on_error=self.on_error, num_workers=self.num_workers, filter=decoder.filter,
        )  # fmt: skip

    @property
    def _batch_decoder(self) -> ImageDecoder:
        """See `ImageData._batch_decoder`."""
        return self._enlarged(self._decoder)

    def _decode(self) -> None:
        """See `ImageData._decode`; both sets."""
        super()._decode()
        self._sources.trainer = self.trainer
        self._sources._decode()

    def _make_loader(self, sampler: IndexSampler, for_cuda: bool) -> ResumableLoader:
        """See `ImageData._make_loader`."""
        assert isinstance(sampler, EpochSampler | ChangingSampler)
        images = super()._make_loader(sampler, for_cuda)
        order = CyclingSampler(self._sources.size, sampler, mix(self.seed, _SOURCES))
        return SourceLoader(images, self._sources.loader_with(order))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Crop and mirror the images on the device, and convert them to float32 in [-1, 1]."""
        index, key = batch["index"], self._jitter_key()
        image = self._jitter(batch["image"], index, key)
        source = self._jitter(batch["source"], index, mix(key, _SOURCES))
        return {**batch, "image": to_unit_range(image), "source": to_unit_range(source)}

    def _examples(self, raw: RawTranslation) -> Iterator[tuple[Tensor, Tensor]]:
        """See `TranslationData._examples`; as many as the smaller set has."""
        given = raw.given()
        images = readable(raw, self._decoder, order_of(raw), self.on_error)
        return zip(images, readable(given, self._source_decoder, order_of(given), self.on_error), strict=False)

    @property
    def held_out_size(self) -> int:
        """See `TrainingData.held_out_size`."""
        return min(len(self._held_out), len(self._held_out.given()))


class _Sources(ImageData):
    decoder_class: ClassVar[type[Decoder]] = LabelMapDecoder
