"""The adversarial loss `loss=skeleton`."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_lab.losses.base import Loss


@dataclass(frozen=True)
class Skeleton(Loss):
    """Both losses are minimized; logits C are high for real samples. An example: exp(-C(x)) + exp(C(G(z))).

    Args:
        scale: Factor on the logits. Arguments are keys of the YAML file, and of the command line: loss.scale=2.
    """

    scale: float = 1.0

    boundary: ClassVar[float | None] = 0.0
    """Logit at which a sample is equally likely to be real or generated; None if only differences matter."""

    def real(self, logits: Tensor) -> Tensor:
        """Discriminator loss of real samples, from their logits (n,)."""
        return torch.exp(-self.scale * logits).mean()

    def fake(self, logits: Tensor) -> Tensor:
        """Discriminator loss of generated samples, from their logits (n,)."""
        return torch.exp(self.scale * logits).mean()

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Generator loss of generated samples, from their logits (n,)."""
        return torch.exp(-self.scale * fake_logits).mean()
