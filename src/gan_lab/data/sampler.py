"""Samplers: the order of a data set as a function of (seed, epoch), for any number of processes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

import torch
from torch import Tensor

from gan_lab.errors import DataError
from gan_lab.noise import mix


class EpochPosition:
    """The next epoch, and the batch at which to start it.

    Lightning calls `set_epoch` before each epoch, on the attribute `sampler` of a loader.

    Args:
        num_batches: Batches in an epoch.
    """

    def __init__(self, num_batches: int) -> None:
        self.num_batches = num_batches
        self.epoch = 0
        self._start = 0

    def __len__(self) -> int:
        return self.num_batches

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch. It starts at its first batch, unless `resume` has set a position in this epoch."""
        if epoch != self.epoch:
            self._start = 0
        self.epoch = epoch

    def resume(self, epoch: int, batches: int) -> None:
        """Continue an epoch after `batches` batches, or with the next epoch if there are no more."""
        finished = batches >= self.num_batches
        self.epoch = epoch + 1 if finished else epoch
        self._start = 0 if finished else batches

    def take_start(self) -> int:
        """The batch at which to start; resets it to 0."""
        start, self._start = self._start, 0
        return start


class IndexSampler(EpochPosition, ABC):
    """Batches of indices, those of this process."""

    @abstractmethod
    def batches(self, start: int = 0, device: torch.device | str = "cpu") -> Sequence[Tensor]:
        """The index tensors of this epoch on a device, int64 (n,), starting with batch `start`."""

    @abstractmethod
    def seen(self, start: int = 0) -> Sequence[int]:
        """Number of real images, over all processes, before each batch of this epoch, starting with batch `start`."""


class EpochSampler(IndexSampler):
    """Batches of indices: this process's part of each global batch.

    The order of an epoch is a random permutation; an incomplete global batch at its end is dropped. Process r of w
    takes the positions r, r + w, r + 2w, … of every global batch.

    Args:
        size: Images in the data set.
        global_batch: Images in a batch over all processes.
        seed: The order is a function of this and the epoch.
        rank: Index of this process.
        world: Number of processes.

    Raises:
        DataError: The batch size is not divisible by the number of processes, or exceeds the size of the data set.
    """

    def __init__(self, size: int, global_batch: int, seed: int, rank: int = 0, world: int = 1) -> None:
        check_divisible(global_batch, world)
        if size < global_batch:
            raise DataError(
                f"The data set has {size} images, fewer than batch_size={global_batch}; give a smaller one."
            )
        super().__init__(size // global_batch)
        self.size = size
        self.global_batch = global_batch
        self.seed = seed
        self.rank = rank
        self.world = world

    def order(self) -> Tensor:
        """Indices of this epoch, int64 (batches, batch_size / world)."""
        shuffled = shuffle(self.size, mix(self.seed, self.epoch))
        batches = shuffled[: self.num_batches * self.global_batch].view(self.num_batches, self.global_batch)
        return batches[:, self.rank :: self.world].contiguous()

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the index tensors, int64 (batch_size / world,), starting at the start position."""
        yield from self.batches(self.take_start())

    def batches(self, start: int = 0, device: torch.device | str = "cpu") -> Sequence[Tensor]:
        """The index tensors on a device, starting with batch `start`."""
        return self.order()[start:].to(device).unbind()  # one copy for all

    def seen(self, start: int = 0) -> Sequence[int]:
        """Number of real images, over all processes, before each batch of this epoch, starting with batch `start`."""
        first = self.epoch * self.num_batches
        return [(first + number) * self.global_batch for number in range(start, self.num_batches)]


class ChangingSampler(IndexSampler):
    """Batches of indices as in `EpochSampler`, whose size changes with the number of real images seen.

    An epoch ends with its last complete batch, so epochs differ in their number of batches. The size of a batch, and
    the order, are functions of the epoch and of the batch's index in it, since all previous batches have been seen.

    The length is only an upper bound: Lightning reads it once, and ends an epoch when the iterator does.

    Args:
        size: Images in the data set.
        batch_size: Function from the number of real images seen to the size of the next batch over all processes.
        seed: The order is a function of this and the epoch.
        rank: Index of this process.
        world: Number of processes.

    Raises:
        DataError: While iterating: a batch size is not divisible by the number of processes, or exceeds the size of the
            data set.
    """

    def __init__(self, size: int, batch_size: Callable[[int], int], seed: int, rank: int = 0, world: int = 1) -> None:
        super().__init__(size)
        self.size = size
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world = world
        self._seen = [0]  # real images before each of the first epochs, as far as computed

    def resume(self, epoch: int, batches: int) -> None:
        """Continue an epoch after `batches` batches; if none is left, it is empty and Lightning starts the next."""
        self.epoch = epoch
        self._start = batches

    def sizes(self, epoch: int) -> list[int]:
        """Sizes of the batches of an epoch, over all processes."""
        while len(self._seen) <= epoch:
            self._seen.append(self._seen[-1] + sum(self._sizes_from(self._seen[-1])))
        return self._sizes_from(self._seen[epoch])

    def _sizes_from(self, begin: int) -> list[int]:
        sizes: list[int] = []
        seen, end = begin, begin + self.size
        while seen + (batch := self.batch_size(seen)) <= end:
            sizes.append(batch)
            seen += batch
        if not sizes:
            raise DataError(f"The data set has {self.size} images, fewer than a batch of {batch}; give a smaller one.")
        return sizes

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the index tensors, int64 (size of the batch / world,), starting at the start position."""
        yield from self.batches(self.take_start())

    def batches(self, start: int = 0, device: torch.device | str = "cpu") -> Sequence[Tensor]:
        """The index tensors on a device, starting with batch `start`."""
        sizes = self.sizes(self.epoch)
        for batch in set(sizes):
            check_divisible(batch, self.world)
        order = shuffle(self.size, mix(self.seed, self.epoch))[: sum(sizes)].to(device)  # one copy for all
        return [batch[self.rank :: self.world] for batch in order.split(sizes)[start:]]

    def seen(self, start: int = 0) -> Sequence[int]:
        """Number of real images, over all processes, before each batch of this epoch, starting with batch `start`."""
        sizes = self.sizes(self.epoch)
        return list(accumulate(sizes[:-1], initial=self._seen[self.epoch]))[start:]


class CyclingSampler(IndexSampler):
    """Batches of indices of a second set, of the sizes of the batches of a first one.

    The indices are consecutive random permutations without regard to the epochs of the first set, so every image comes
    once before any comes again. They are a function of the seed and of the number of real images seen.

    Args:
        size: Images in the second set.
        first: Sampler of the first set.
        seed: Seed of the permutations.
    """

    def __init__(self, size: int, first: "EpochSampler | ChangingSampler", seed: int) -> None:
        super().__init__(len(first))
        self.size = size
        self.first = first
        self.seed = seed

    def batches(self, start: int = 0, device: torch.device | str = "cpu") -> Sequence[Tensor]:
        """The index tensors on a device, starting with batch `start` of the epoch of the first set."""
        sizes = [len(batch) for batch in self.first.batches(start)]
        if not sizes:
            return []
        rank, world = self.first.rank, self.first.world
        starts = torch.tensor(self.first.seen(start)).repeat_interleave(torch.tensor(sizes))
        within = torch.cat([torch.arange(size) for size in sizes])
        places = starts + rank + world * within  # of each sample among all real images of the run
        turns, row = torch.unique(places // self.size, return_inverse=True)
        orders = torch.stack([shuffle(self.size, mix(self.seed, turn)) for turn in turns.tolist()])
        return orders[row, places % self.size].to(device).split(sizes)

    def seen(self, start: int = 0) -> Sequence[int]:
        """See `IndexSampler.seen`."""
        return self.first.seen(start)


def shuffle(size: int, seed: int) -> Tensor:
    """A random permutation of 0..size-1, int64."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))


def check_divisible(global_batch: int, world: int) -> None:
    """Raise DataError unless the batch size is divisible by the number of processes."""
    if global_batch % world:
        raise DataError(f"batch_size={global_batch} is not divisible by the number of processes, {world}.")
