"""What training asks of a data module."""

from abc import abstractmethod
from typing import cast

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from gan_lab.types import Batch, DataSpec


class TrainingData(LightningDataModule):
    """A LightningDataModule whose batches are `gan_lab.types.Batch` once they are on the device.

    Attributes:
        spec: What one sample is.
        budget_images: Real images that a run sees unless its budget says otherwise.
    """

    spec: DataSpec
    budget_images: int

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """A flat batch to the device; shorter than Lightning's walk through arbitrary collections."""
        return cast(Batch, {key: cast(Tensor, value).to(device, non_blocking=True) for key, value in batch.items()})

    @property
    @abstractmethod
    def size(self) -> int:
        """Real samples in an epoch."""

    @abstractmethod
    def real_batch(self, count: int) -> Tensor:
        """Samples that the seed picks, for reference pictures: float32 (count, ...) in [-1, 1] or points, on the CPU."""
