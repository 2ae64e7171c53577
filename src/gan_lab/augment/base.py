"""Protocol of augmentations."""

from typing import Protocol

import torch
from torch import Tensor

from gan_lab.noise import Noise


class Augmentation(Protocol):
    """A transform of all images at the discriminator's input, real and generated; an `nn.Module`.

    `needs_boundary` is true if `adapt` needs real logits relative to the loss's boundary. An augmentation with a
    probability may have a method `scale_p(factor)`, which `schedule.augment_p` sets before each batch.
    """

    @property
    def needs_boundary(self) -> bool: ...

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        """Transform images (n, C, H, W) in [-1, 1], differentiably."""

    def adapt(self, margins: Tensor | None, images: int) -> dict[str, Tensor]:
        """Adapt to the real logits minus the boundary, (n, ...), of a batch of `images` over all processes.

        They are None if the loss has no boundary.

        Returns scalars for the log by name.
        """


def augmented(augment: Augmentation, points: Tensor, noise: Noise) -> Tensor:
    """Augment points (n, ...); calls with the same noise use the same random numbers.

    If there are k times as many points as the noise has rows, each of the k batches has its own random numbers.
    """
    if len(points) == noise.count:
        return augment(points, noise.child("augment"))
    batches = [augment(batch, noise.for_batch(k).child("augment")) for k, batch in enumerate(points.split(noise.count))]
    return torch.cat(batches)
