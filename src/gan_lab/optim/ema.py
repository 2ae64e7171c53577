"""Exponential moving average of a network's weights, with its memory counted in images."""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class Averaging:
    """How fast an average forgets: average <- b * average + (1 - b) * weights with b = 0.5^(images / half-life).

    Karras et al. (2020). A constant decay b per step of batch B has the half-life B * log(0.5) / log(b).

    Args:
        half_life_images: Real images after which a weight counts half. 0 means no memory: the average is the network.
        rampup: Limits the half-life to this share of the images seen, so that the average soon forgets the
            initialization; None for no limit.
    """

    half_life_images: float = 10_000.0
    rampup: float | None = 0.05

    def decay(self, images: int, images_seen: int) -> float:
        """b of an update made at `images_seen`, `images` after the last one; in [0, 1)."""
        limit = float("inf") if self.rampup is None else self.rampup * images_seen
        half_life = min(self.half_life_images, limit)
        return 0.5 ** (images / half_life) if half_life > 0 else 0.0


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the parameters of `average` towards those of `network` and copy the buffers, in place."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
    for old, new in zip(average.buffers(), network.buffers(), strict=True):
        old.copy_(new)
