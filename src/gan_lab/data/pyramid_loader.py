"""Batches of a prepared pyramid, each at the resolution that is due."""

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor

from gan_lab.data.loaders import ResumableLoader, gather, wide_rows
from gan_lab.data.sampler import ChangingSampler, EpochSampler
from gan_lab.types import Batch


class PyramidLoader(ResumableLoader):
    """Batches of one of several arrays of the same images: one gather for each, where the arrays are.

    Yields `image` uint8 (n, C, side, side), `index` int64 (n,) and, if the set has them, `label` int64 (n,). The side of a
    batch is a function of the real images before it, so a resumed run has the same.

    Args:
        levels: Side to all images at this side, uint8 (N, C, side, side): on the device, in memory, or mapped from the disk.
        rows: int64 (M,): image k of the set is row `rows[k]` of the levels; None where it is row k.
        labels: int64 (M,) or None.
        sampler: The order.
        side: Real images seen to the side of the next batch, one of `levels`.
        pin_memory: Gather into page-locked memory, for a faster copy to a CUDA device.
    """

    def __init__(
        self,
        levels: Mapping[int, Tensor],
        rows: Tensor | None,
        labels: Tensor | None,
        sampler: EpochSampler | ChangingSampler,
        side: Callable[[int], int],
        pin_memory: bool = False,
    ) -> None:
        super().__init__(sampler)
        self.sampler: EpochSampler | ChangingSampler = sampler
        self.levels = levels
        self.rows = rows
        self.labels = labels
        self.side = side
        self.pin_memory = pin_memory

    def _batches(self, start: int) -> Iterator[Batch]:
        levels = {side: wide_rows(images) for side, images in self.levels.items()}
        device = next(iter(levels.values())).device
        for seen, index in zip(self.sampler.seen(start), self.sampler.batches(start, device), strict=True):
            side = self.side(seen)
            places = index if self.rows is None else self.rows[index]
            images = gather(levels[side], places, self.pin_memory)
            batch: Batch = {"image": images.view(-1, *self.levels[side].shape[1:]), "index": index}
            if self.labels is not None:
                batch["label"] = self.labels.index_select(0, index)
            yield batch
