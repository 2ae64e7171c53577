"""The order in which a data set is drawn: a function of (seed, epoch), the same however many processes share it."""

from collections.abc import Iterator

import torch
from torch import Tensor

from gan_lab.errors import DataError
from gan_lab.noise import mix


class EpochPosition:
    """The epoch that is drawn next, and the batch to begin it with.

    Lightning calls `set_epoch` before each epoch, through the attribute `sampler` of a loader.

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
        """Go to an epoch. Its beginning, unless `resume` has just put the position inside this very epoch."""
        if epoch != self.epoch:
            self._start = 0
        self.epoch = epoch

    def resume(self, epoch: int, batches: int) -> None:
        """Continue an epoch after `batches` batches; after all of them, with the next epoch."""
        finished = batches >= self.num_batches
        self.epoch = epoch + 1 if finished else epoch
        self._start = 0 if finished else batches

    def take_start(self) -> int:
        """The batch to begin with; the next call gives 0."""
        start, self._start = self._start, 0
        return start


class EpochSampler(EpochPosition):
    """Batches of indices, this process's share of each global batch.

    The order of an epoch is a random permutation; what does not fill a global batch at its end is left out. Process r
    of w takes the positions r, r + w, r + 2w, … of every global batch.

    Args:
        size: Images in the data set.
        global_batch: Images in a batch over all processes.
        seed: The order is a function of this and the epoch.
        rank: Number of this process.
        world: Number of processes.

    Raises:
        DataError: The batch does not divide by the processes, or the data set does not fill one batch.
    """

    def __init__(self, size: int, global_batch: int, seed: int, rank: int = 0, world: int = 1) -> None:
        check_share(global_batch, world)
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
        """Yield the index tensors, int64 (batch_size / world,), from the start position on."""
        yield from self.order()[self.take_start() :]


def shuffle(size: int, seed: int) -> Tensor:
    """A random permutation of 0..size-1, int64."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))


def check_share(global_batch: int, world: int) -> None:
    """Refuse a batch that the processes cannot share equally."""
    if global_batch % world:
        raise DataError(f"batch_size={global_batch} does not divide by the {world} processes.")
