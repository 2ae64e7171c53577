"""Samples that are translated for a metric: the held-out pairs of a data set, as real images and as a baseline."""

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

TRAIN = "train"
"""Split of samples that training uses."""


class Translated(NamedTuple):
    """Generated samples and what they are made of.

    Attributes:
        samples: (n, ...).
        condition: The sources, with n rows.
        targets: (n, ...), what the samples should be; None if the sources have none.
    """

    samples: Tensor
    condition: Tensor
    targets: Tensor | None


class HeldOutTargets:
    """The held-out images of a data set that translations are compared with, as real samples of metrics.

    Args:
        data: A data set with `held_out_pairs`, see `gan_lab.data.base.TrainingData`.
        count: Number of samples.
        batch_size: Samples in a batch.
    """

    def __init__(self, data: Any, count: int, batch_size: int) -> None:
        self.data = data
        self.count = count
        self.batch_size = batch_size

    @property
    def split(self) -> str:
        """The split of the samples; `train` if training uses them."""
        return str(self.data.held_out_split or TRAIN)

    @property
    def protocol(self) -> dict[str, str]:
        """Options of the measurement protocol of translations."""
        return {"sources": self.split}

    def copies(self, condition: Any, device: torch.device) -> Iterator[Translated]:
        """The sources in place of translations, as a baseline; none if they do not have the shape of the targets.

        Args:
            condition: The condition of the generator, see `gan_lab.gans.conditions.Condition`.
            device: Device of the results.
        """
        for batch in self.data.held_out_pairs(self.count, self.batch_size):
            sources, images = condition.of(batch).to(device), batch["image"].to(device)
            if sources.shape != images.shape:
                return
            yield Translated(sources, sources, images if self.data.has_pairs else None)

    @property
    def content_hash(self) -> str | None:
        """Hash of the data set."""
        return self.data.content_hash

    @property
    def source(self) -> str | None:
        """Path or name of the data set."""
        return self.data.source

    def fingerprint(self) -> str:
        """Hash of the pixels."""
        digest = hashlib.sha256()
        for images, _ in self.reals(None, self.batch_size):
            digest.update(images.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def reals(self, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The images, float32 (n, C, H, W) in [-1, 1], without labels; all of them, whatever `count` is."""
        for batch in self.data.held_out_pairs(self.count, batch_size):
            yield batch["image"], None
