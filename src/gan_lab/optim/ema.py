"""Exponential moving average of a network's weights, with its memory counted in images."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Averaging:
    """How fast an average forgets: average <- b * average + (1 - b) * weights with b = 0.5^(images / half-life).

    Karras et al. (2020). A constant decay b per step of batch B has the half-life B * log(0.5) / log(b).

    Args:
        half_life_images: Real images after which a weight counts half. 0 means no memory: the average is the network.
        rampup: Limits the half-life to this share of the images seen, so that the average soon forgets the
            initialization; None for no limit.
        start_images: Until so many real images are seen the average is the network, as in the code of BigGAN.
    """

    half_life_images: float = 10_000.0
    rampup: float | None = 0.05
    start_images: int = 0

    def decay(self, images: int, images_seen: int) -> float:
        """b of an update made at `images_seen`, `images` after the last one; in [0, 1)."""
        if images_seen < self.start_images:
            return 0.0
        limit = float("inf") if self.rampup is None else self.rampup * images_seen
        half_life = min(self.half_life_images, limit)
        return 0.5 ** (images / half_life) if half_life > 0 else 0.0


class MovingAverage:
    """Moves the parameters of one network towards those of another of the same class, and copies its buffers.

    The tensors are looked up once, so make it when both networks are on their device.

    Args:
        average: What is moved, in place.
        network: What it follows.
        averaging: How fast.
    """

    def __init__(self, average: nn.Module, network: nn.Module, averaging: Averaging) -> None:
        self.averaging = averaging
        self._average: list[Tensor] = list(average.parameters())
        self._network: list[Tensor] = list(network.parameters())
        self._buffers = list(zip(average.buffers(), network.buffers(), strict=True))

    @torch.no_grad()
    def update(self, images: int, images_seen: int) -> None:
        """Move the average, at `images_seen` and `images` after the last time."""
        torch._foreach_lerp_(self._average, self._network, 1 - self.averaging.decay(images, images_seen))
        for old, new in self._buffers:
            old.copy_(new)
