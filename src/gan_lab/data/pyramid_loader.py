"""Loader of a prepared pyramid, with batches at the resolution of the growing networks."""

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor

from gan_lab.data.loaders import ResumableLoader, gather, wide_rows
from gan_lab.data.sampler import IndexSampler
from gan_lab.types import Batch


class PyramidLoader(ResumableLoader):
    """Batches from arrays of the same images at several resolutions, gathered on the device of the arrays.

    Yields `image` uint8 (n, C, resolution, resolution), `index` int64 (n,) and, if there are any, `label` int64 (n,).
    The resolution of a batch is a function of the number of real images before it, so it is the same in a resumed run.

    Args:
        levels: From resolution to all images at it, uint8 (N, C, resolution, resolution): on the device, in memory, or
            memory-mapped.
        rows: int64 (M,): image k of the set is row `rows[k]` of the levels; None if it is row k.
        labels: int64 (M,) or None.
        sampler: Order of the images.
        resolution: Function from the number of real images seen to the resolution of the next batch, one of `levels`.
        pin_memory: Gather into page-locked memory, for a faster copy to a CUDA device.
    """

    def __init__(
        self,
        levels: Mapping[int, Tensor],
        rows: Tensor | None,
        labels: Tensor | None,
        sampler: IndexSampler,
        resolution: Callable[[int], int],
        pin_memory: bool = False,
    ) -> None:
        super().__init__(sampler)
        self.sampler: IndexSampler = sampler
        self.levels = levels
        self.rows = rows
        self.labels = labels
        self.resolution = resolution
        self.pin_memory = pin_memory

    def _batches(self, start: int) -> Iterator[Batch]:
        levels = {resolution: wide_rows(images) for resolution, images in self.levels.items()}
        device = next(iter(levels.values())).device
        for seen, index in zip(self.sampler.seen(start), self.sampler.batches(start, device), strict=True):
            resolution = self.resolution(seen)
            places = index if self.rows is None else self.rows[index]
            images = gather(levels[resolution], places, self.pin_memory)
            batch: Batch = {"image": images.view(-1, *self.levels[resolution].shape[1:]), "index": index}
            if self.labels is not None:
                batch["label"] = self.labels.index_select(0, index)
            yield batch
