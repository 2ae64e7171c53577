"""Loaders that resume: batches from a cached tensor, from files, or from a distribution."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gan_lab.data.cache import DecodedImages
from gan_lab.data.sampler import ChangingSampler, EpochPosition, EpochSampler, check_share
from gan_lab.noise import Noise, mix
from gan_lab.types import Batch

if TYPE_CHECKING:
    from gan_lab.data.mixtures import GaussianMixture


class ResumableLoader(ABC):
    """Yields the batches of one epoch at each iteration and can continue in the middle of one.

    Lightning saves `state_dict` with every checkpoint. Which epoch and batch an iteration begins with is decided when
    its first batch is asked for: Lightning makes the iterator before it sets the epoch.
    """

    def __init__(self, sampler: EpochPosition) -> None:
        self.sampler = sampler
        self._epoch = 0
        self._yielded = 0

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        self._epoch = self.sampler.epoch
        self._yielded = self.sampler.take_start()
        for batch in self._batches(self._yielded):
            self._yielded += 1  # before the batch is handed out: a checkpoint made while it is used counts it
            yield batch

    @abstractmethod
    def _batches(self, start: int) -> Iterator[Batch]:
        """The batches of the sampler's epoch from number `start` on."""

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches were handed out."""
        return {"epoch": self._epoch, "batches": self._yielded}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue after the last batch that was handed out."""
        self._epoch, self._yielded = state["epoch"], state["batches"]
        self.sampler.resume(self._epoch, self._yielded)


class MemoryLoader(ResumableLoader):
    """Batches of a decoded image set: one gather per batch, where the set is.

    Yields `image` uint8 (n, C, H, W), `index` int64 (n,) and, if the set has them, `label` int64 (n,).

    Args:
        data: The decoded set, in main memory or on the training device.
        sampler: The order.
        pin_memory: Gather into page-locked memory, for a faster copy to a CUDA device.
    """

    def __init__(self, data: DecodedImages, sampler: EpochSampler | ChangingSampler, pin_memory: bool = False) -> None:
        super().__init__(sampler)
        self.sampler: EpochSampler | ChangingSampler = sampler
        self.data = data
        self.pin_memory = pin_memory

    def _batches(self, start: int) -> Iterator[Batch]:
        labels, shape = self.data.labels, self.data.images.shape[1:]
        rows = wide_rows(self.data.images)
        for index in self.sampler.batches(start, rows.device):
            batch: Batch = {"image": gather(rows, index, self.pin_memory).view(-1, *shape), "index": index}
            if labels is not None:
                batch["label"] = labels.index_select(0, index)
            yield batch


def gather(rows: Tensor, index: Tensor, pin_memory: bool) -> Tensor:
    """Some rows of `wide_rows`, as uint8 (n, bytes), in page-locked memory if wanted."""
    if not pin_memory:
        return rows.index_select(0, index).view(torch.uint8)
    out = torch.empty(len(index), rows.shape[1], dtype=rows.dtype, pin_memory=True)
    return torch.index_select(rows, 0, index, out=out).view(torch.uint8)


def wide_rows(images: Tensor) -> Tensor:
    """The same memory as one row per image, of 8-byte elements where they fit.

    A gather is divided among threads by its number of elements; with bytes, small batches would be divided too, and the
    threads would wait for each other far longer than they copy.
    """
    rows = images.flatten(1)
    return rows.view(torch.int64) if rows.shape[1] % 8 == 0 else rows


class PointLoader(ResumableLoader):
    """Batches of fresh points, each a function of (seed, epoch, batch in the epoch).

    Yields `image` float32 (n, 2) and `label` int64 (n,), the mode that a point was drawn from.

    Args:
        mixture: The distribution.
        batches_per_epoch: Length of an epoch, which a distribution does not have by itself.
        global_batch: Points in a batch over all processes.
        seed: What the points are a function of.
        rank: Number of this process; it takes every `world`-th point.
        world: Number of processes.
    """

    def __init__(
        self,
        mixture: "GaussianMixture",
        batches_per_epoch: int,
        global_batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        check_share(global_batch, world)
        super().__init__(EpochPosition(batches_per_epoch))
        self.mixture = mixture
        self.global_batch = global_batch
        self.seed = seed
        self.rows = slice(rank, None, world)

    def _batches(self, start: int) -> Iterator[Batch]:
        for number in range(start, len(self)):
            noise = Noise(mix(self.seed, self.sampler.epoch, number), self.global_batch, self.rows)
            points, labels = self.mixture.sample(noise)
            yield {"image": points, "label": labels}
