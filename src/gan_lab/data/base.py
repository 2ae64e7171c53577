"""What training asks of a data module."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import cast

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from gan_lab.errors import DataError
from gan_lab.types import Batch, DataSpec


class TrainingData(LightningDataModule):
    """A LightningDataModule whose batches are `gan_lab.types.Batch` once they are on the device.

    Attributes:
        spec: What one sample is.
        budget_images: Real images that a run sees unless its budget says otherwise.
        batch_sizes: Real images seen to the images in the next batch, for runs in which these change; None where they do
            not. Set by what builds the run, before training.
        resolutions: Real images seen to the side in pixels that the next batch is used at, for runs whose networks grow;
            else None. A set that has its images at several sides gives those of the smallest that will do. Set like
            `batch_sizes`.
    """

    spec: DataSpec
    budget_images: int
    batch_sizes: Callable[[int], int] | None = None
    resolutions: Callable[[int], int] | None = None

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

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash of what `reals` is a function of, beside its arguments: the samples, and how they are made tensors."""

    @property
    def split(self) -> str | None:
        """Which part of a published set `reals` gives, such as `train`; None where there are no parts."""
        return None

    @abstractmethod
    def reals(self, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Samples to compare generated ones with, a part at a time, the same in every run.

        Args:
            count: How many, which a fixed seed picks; None for all, in their order.
            batch_size: Samples at a time.

        Yields:
            float32 (n, C, H, W) in [-1, 1], never mirrored, or points (n, C); and labels int64 (n,), or None.

        Raises:
            DataError: There are not so many, there is no end to them, or one cannot be read.
        """

    def named(self, batch_size: int) -> Iterator[tuple[Tensor, list[str]]]:
        """All images that are trained on, in their order, with what messages call them, a part at a time.

        Yields:
            float32 (n, C, H, W) in [-1, 1], never mirrored, and n names.

        Raises:
            DataError: The data are no list of images, or one cannot be read.
        """
        raise DataError(
            f"{type(self).__name__} draws its samples anew and has no images to look through: choose a set of images, as "
            "dataset=image_folder."
        )
