"""Exponential moving average (EMA) of a network's weights, with a half-life in images."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gan_lab.optim.base import Schedule
from gan_lab.ranges import require_at_least, require_positive


@dataclass(frozen=True)
class Averaging:
    """EMA settings: average <- b * average + (1 - b) * weights with b = 0.5^(images / half-life).

    Karras et al. (2020). A constant decay b per update with batch size B has the half-life B * log(0.5) / log(b).

    Args:
        half_life_images: Real images after which a weight's contribution is halved. 0: the average equals the network.
        rampup: Upper limit of the half-life as a fraction of the images seen, so that the initial weights are forgotten
            quickly; None for no limit.
        start_images: Real images until which the average equals the network, as in the code of BigGAN.
        schedule: Factor on `half_life_images`.

    Raises:
        ValueError: A number is out of range.
    """

    half_life_images: float = 10_000.0
    rampup: float | None = 0.05
    start_images: int = 0
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        require_at_least("averaging.half_life_images", self.half_life_images, 0)
        if self.rampup is not None:
            require_positive("averaging.rampup", self.rampup, or_null="no limit")
        require_at_least("averaging.start_images", self.start_images, 0)

    def decay(self, images: int, images_seen: int) -> float:
        """Decay b of an update at `images_seen`, `images` after the previous update; in [0, 1)."""
        if images_seen < self.start_images:
            return 0.0
        limit = float("inf") if self.rampup is None else self.rampup * images_seen
        factor = 1.0 if self.schedule is None else self.schedule(images_seen)
        half_life = min(factor * self.half_life_images, limit)
        return 0.5 ** (images / half_life) if half_life > 0 else 0.0


class MovingAverage:
    """EMA of a network's parameters, stored in a second network of the same class; buffers are copied.

    The tensors are collected once, so construct it when both networks are on their device.

    Args:
        average: Network that holds the average; updated in place.
        network: Network that is averaged.
        averaging: EMA settings.
    """

    def __init__(self, average: nn.Module, network: nn.Module, averaging: Averaging) -> None:
        self.averaging = averaging
        self._average: list[Tensor] = list(average.parameters())
        self._network: list[Tensor] = list(network.parameters())
        self._buffers = list(zip(average.buffers(), network.buffers(), strict=True))

    @torch.no_grad()
    def update(self, images: int, images_seen: int) -> None:
        """Update the average at `images_seen`, `images` after the previous update."""
        torch._foreach_lerp_(self._average, self._network, 1 - self.averaging.decay(images, images_seen))
        for old, new in self._buffers:
            old.copy_(new)
