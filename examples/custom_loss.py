"""A loss of your own in the default GAN: python examples/custom_loss.py"""

from dataclasses import dataclass
from typing import ClassVar

import torch

import gan_lab
from gan_lab.losses.base import Loss


@dataclass(frozen=True)
class Exponential(Loss):
    """exp(-C(x)) + exp(C(G(z))) for the discriminator, exp(-C(G(z))) for the generator."""

    boundary: ClassVar[float | None] = 0.0  # the logit at which a sample counts as half real

    def real(self, logits):
        return torch.exp(-logits).mean()

    def fake(self, logits):
        return torch.exp(logits).mean()

    def generator(self, fake_logits, real_logits=None):
        return torch.exp(-fake_logits).mean()


if __name__ == "__main__":
    loss = {"_target_": "custom_loss.Exponential"}
    config = gan_lab.compose("model=dcgan", "budget.images=512", loss=loss, allow_targets=["custom_loss"])
    experiment = gan_lab.fit(config)
    print(f"{experiment.module.images_seen} images seen with {experiment.config.loss._target_}")
