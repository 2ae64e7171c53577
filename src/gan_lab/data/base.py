"""What training asks of a data module."""

from abc import abstractmethod

from lightning.pytorch import LightningDataModule
from torch import Tensor

from gan_lab.types import DataSpec


class TrainingData(LightningDataModule):
    """A LightningDataModule whose batches are `gan_lab.types.Batch` once they are on the device.

    Attributes:
        spec: What one sample is.
        budget_images: Real images that a run sees unless its budget says otherwise.
    """

    spec: DataSpec
    budget_images: int

    @property
    @abstractmethod
    def size(self) -> int:
        """Real samples in an epoch."""

    @abstractmethod
    def real_batch(self, count: int) -> Tensor:
        """Samples that the seed picks, for reference pictures: float32 (count, ...) in [-1, 1] or points, on the CPU."""
