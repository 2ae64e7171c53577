"""Projections of the discriminator's weights after each update."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from gan_lab.ranges import require_positive


@dataclass(frozen=True)
class WeightClip:
    """Clamp every parameter, with biases and batch-norm gains, to [-limit, limit]: Arjovsky et al. (2017), algorithm 1.

    Args:
        limit: c of the paper, greater than 0.

    Raises:
        ValueError: `limit` is out of range.
    """

    kind: ClassVar[str] = "constraint"
    limit: float = 0.01

    def __post_init__(self) -> None:
        require_positive("limit", self.limit)

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> None:
        for parameter in network.parameters():
            parameter.clamp_(-self.limit, self.limit)
