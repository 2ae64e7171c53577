"""The algorithm `algorithm=skeleton`."""

from typing import ClassVar

import torch
from torch import nn

from gan_lab.gans.gan import GAN
from gan_lab.gans.parts import Parts
from gan_lab.step import Step
from gan_lab.types import Terms


class Skeleton(GAN):
    """What differs from the GAN of two players. An example: the generator also minimizes the brightness of its samples.

    Other players, networks and phases: docs/architecture.md.

    Args:
        generator: See `GAN`.
        discriminator: See `GAN`.
        parts: See `GAN`.
        brightness_weight: Factor on the mean value of the samples.
    """

    generator_has_own_terms: ClassVar[bool] = True

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, parts: Parts, brightness_weight: float = 0.1
    ) -> None:
        super().__init__(generator, discriminator, parts)
        self.brightness_weight = brightness_weight

    def generator_loss(self, step: Step) -> Terms:
        """The terms of the generator's loss by name; they are logged as `train/generator/<name>`."""
        return super().generator_loss(step) | {"brightness": self.brightness_weight * torch.mean(step.fake.samples)}
