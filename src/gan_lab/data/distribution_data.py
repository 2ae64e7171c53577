"""Base class of data modules that sample a distribution instead of reading a list of images."""

from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property

from torch import Tensor

from gan_lab.data.arguments import check_at_least, require_count
from gan_lab.data.base import REALS_SEED, REFERENCE, TrainingData
from gan_lab.data.content import DataContent
from gan_lab.data.loaders import Distribution, DistributionLoader
from gan_lab.noise import Noise, mix
from gan_lab.types import Batch, DataSpec


class DistributionData(TrainingData):
    """Yields fresh samples in every batch, each a function of (seed, epoch, batch).

    Args:
        spec: Shape of one sample.
        batch_size: Samples in a batch over all processes.
        seed: Seed of the samples.
        batches_per_epoch: Length of an epoch, which a distribution does not define.
        budget_images: Default for the number of real samples that a run sees; only stored here.

    Raises:
        ConfigError: A value is not allowed.
    """

    def __init__(self, spec: DataSpec, batch_size: int, seed: int, batches_per_epoch: int, budget_images: int) -> None:
        super().__init__(spec, batch_size, seed, budget_images)
        check_at_least("dataset.batches_per_epoch", batches_per_epoch, 1)
        self.batches_per_epoch = batches_per_epoch

    @property
    @abstractmethod
    def distribution(self) -> Distribution:
        """The distribution, on the training device if that is faster.

        Raises:
            DataError: An image of the distribution cannot be read.
        """

    @cached_property
    def content(self) -> DataContent:
        """Hash of the distribution."""
        return DataContent(None, self.classes, self.fingerprint())

    def _finish(self, samples: Tensor) -> Tensor:
        """Samples as the networks see them; by default unchanged."""
        return samples

    @property
    def size(self) -> int:
        """Samples in an epoch."""
        return self.batches_per_epoch * self.batch_size

    def train_dataloader(self) -> DistributionLoader:
        """Batches of fresh samples, as described in `DistributionLoader`.

        Raises:
            DataError: The batch size is not divisible by the number of processes, or `distribution` fails.
        """
        rank, world = self._processes.rank, self._processes.world
        return DistributionLoader(self.distribution, self.batches_per_epoch, self.batch_size, self.seed, rank, world)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Convert images on the device from uint8 to float32 in [-1, 1]; points stay unchanged."""
        return {**batch, "image": self._finish(batch["image"])}

    def real_batch(self, count: int) -> Tensor:
        """See `TrainingData.real_batch`."""
        samples, _ = self.distribution.sample(Noise(mix(self.seed, REFERENCE), count))
        return self._finish(samples).cpu()

    def reals(self, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """See `TrainingData.reals`."""
        distribution, count = self.distribution, require_count(count)
        for start in range(0, count, batch_size):  # a slice of one draw, whatever the batch size
            samples, labels = distribution.sample(Noise(REALS_SEED, count, slice(start, start + batch_size)))
            yield self._finish(samples), labels
