"""Projections of the discriminator's weights after its step."""

from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class WeightClip:
    """Clamps every parameter, biases and batch-norm gains included, to [-limit, limit]: Arjovsky et al. (2017), algorithm 1.

    Args:
        limit: c of the paper.
    """

    limit: float = 0.01

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> None:
        for parameter in network.parameters():
            parameter.clamp_(-self.limit, self.limit)
