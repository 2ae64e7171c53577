"""Data module for pairs of images."""

from collections.abc import Iterator
from typing import ClassVar, cast

from torch import Tensor

from gan_lab.data.domains import RawTranslation
from gan_lab.data.image_data import readable
from gan_lab.data.pairs import PairDecoder, RawPairs
from gan_lab.data.pixels import to_unit_range
from gan_lab.data.translation_data import TranslationData, order_of
from gan_lab.types import Batch


class PairedData(TranslationData):
    """Batches of pairs, whose images get the same random crop and mirror; see `TranslationData` for the arguments.

    A pair is decoded and cached as one image with the channels of both, so an image that cannot be used excludes its
    pair.
    """

    has_pairs: ClassVar[bool] = True

    @property
    def _batch_decoder(self) -> PairDecoder:
        """See `ImageData._batch_decoder`."""
        return PairDecoder(self._enlarged(self._decoder), self._enlarged(self._source_decoder))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Crop and mirror the pairs on the device, convert them to float32 in [-1, 1], and separate the images."""
        pairs = to_unit_range(self._jitter(batch["image"], batch["index"], self._jitter_key()))
        image, source = pairs.split(self._channels, 1)
        return {**batch, "image": image, "source": source}

    def _examples(self, raw: RawTranslation) -> Iterator[tuple[Tensor, Tensor]]:
        """See `TranslationData._examples`."""
        decoder = PairDecoder(self._decoder, self._source_decoder)
        for pair in readable(cast(RawPairs, raw), decoder, order_of(raw), self.on_error):
            image, source = pair.split(self._channels)
            yield image, source

    @property
    def _channels(self) -> list[int]:
        """Channels of `image` and of `source`."""
        return [self._decoder.channels, self._source_decoder.channels]
