"""Resumable loaders: base class, loader of decoded images, and loader of a distribution."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from gan_lab.data.cache import DecodedImages
from gan_lab.data.sampler import EpochPosition, IndexSampler, check_divisible
from gan_lab.noise import Noise, mix
from gan_lab.types import Batch


class ResumableLoader(ABC):
    """Loader whose state is the epoch and the number of batches yielded, so that it can resume within an epoch.

    Lightning saves `state_dict` with every checkpoint. Each iteration yields one epoch; its epoch and first batch are
    determined at the first `next`, since Lightning creates the iterator before it sets the epoch.
    """

    def __init__(self, sampler: EpochPosition) -> None:
        self.sampler = sampler
        self._epoch = 0
        self._yielded = 0

    def __len__(self) -> int:
        """Batches in a complete epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        self._epoch = self.sampler.epoch
        self._yielded = self.sampler.take_start()
        for batch in self._batches(self._yielded):
            self._yielded += 1  # before the yield, so that a checkpoint made during its use counts it
            yield batch

    @abstractmethod
    def _batches(self, start: int) -> Iterator[Batch]:
        """The batches of the sampler's epoch, starting with number `start`."""

    @property
    def batches_ahead(self) -> int:
        """Largest number of batches that worker processes decode before they are asked for."""
        return 0

    def close(self) -> None:
        """End worker processes; nothing by default."""
        return

    def state_dict(self) -> dict[str, int]:
        """The epoch, and the number of its batches that were yielded."""
        return {"epoch": self._epoch, "batches": self._yielded}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue after the last batch that was yielded."""
        self._epoch, self._yielded = state["epoch"], state["batches"]
        self.sampler.resume(self._epoch, self._yielded)


class MemoryLoader(ResumableLoader):
    """Batches of a decoded image set, gathered on the device of the set.

    Yields `image` uint8 (n, C, H, W), `index` int64 (n,) and, if the set has them, `label` int64 (n,).

    Args:
        data: The decoded set, in main memory or on the training device.
        sampler: Order of the images.
        pin_memory: Gather into page-locked memory, for a faster copy to a CUDA device.
    """

    def __init__(self, data: DecodedImages, sampler: IndexSampler, pin_memory: bool = False) -> None:
        super().__init__(sampler)
        self.sampler: IndexSampler = sampler
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


class SourceLoader(ResumableLoader):
    """Batches of a set of images, with as many images of another set as `source`.

    Args:
        images: Loader of the set.
        sources: Loader of the other set, whose sampler follows that of `images`.
    """

    def __init__(self, images: ResumableLoader, sources: ResumableLoader) -> None:
        super().__init__(images.sampler)
        self.images = images
        self.sources = sources

    def _batches(self, start: int) -> Iterator[Batch]:
        for batch, other in zip(self.images._batches(start), self.sources._batches(start), strict=True):
            yield {**batch, "source": other["image"]}

    def close(self) -> None:
        """See `ResumableLoader.close`."""
        self.images.close()
        self.sources.close()


def gather(rows: Tensor, index: Tensor, pin_memory: bool) -> Tensor:
    """Rows of `wide_rows` at the indices, as uint8 (n, bytes), optionally in page-locked memory."""
    if not pin_memory:
        return rows.index_select(0, index).view(torch.uint8)
    out = torch.empty(len(index), rows.shape[1], dtype=rows.dtype, pin_memory=True)
    return torch.index_select(rows, 0, index, out=out).view(torch.uint8)


def wide_rows(images: Tensor) -> Tensor:
    """View of the images with one row per image, of 8-byte elements if the size of an image is a multiple of 8.

    PyTorch parallelizes a gather by its number of elements. With bytes, small batches would be parallelized too, and
    the threads would synchronize for far longer than they copy.
    """
    rows = images.flatten(1)
    return rows.view(torch.int64) if rows.shape[1] % 8 == 0 else rows


class Distribution(Protocol):
    """Interface of the distributions of `DistributionLoader`."""

    def sample(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """Samples (n, ...) and their labels, int64 (n,), where n is the number of rows of the noise."""


class DistributionLoader(ResumableLoader):
    """Batches of fresh samples, each a function of (seed, epoch, batch in the epoch).

    Yields `image`, the unchanged samples of the distribution, and `label` int64 (n,).

    Args:
        distribution: The distribution to sample.
        batches_per_epoch: Length of an epoch, which a distribution does not define.
        global_batch: Samples in a batch over all processes.
        seed: Seed of the samples.
        rank: Index of this process, which takes every `world`-th sample.
        world: Number of processes.

    Raises:
        DataError: The batch size is not divisible by the number of processes.
    """

    def __init__(
        self,
        distribution: Distribution,
        batches_per_epoch: int,
        global_batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        check_divisible(global_batch, world)
        super().__init__(EpochPosition(batches_per_epoch))
        self.distribution = distribution
        self.global_batch = global_batch
        self.seed = seed
        self.rows = slice(rank, None, world)

    def _batches(self, start: int) -> Iterator[Batch]:
        for number in range(start, len(self)):
            noise = Noise(mix(self.seed, self.sampler.epoch, number), self.global_batch, self.rows)
            samples, labels = self.distribution.sample(noise)
            yield {"image": samples, "label": labels}
