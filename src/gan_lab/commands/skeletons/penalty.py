"""The penalty `regularizer=[skeleton]`."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_lab.regularizers.base import CheckedPenalty
from gan_lab.step import Step


@dataclass(frozen=True)
class Skeleton(CheckedPenalty):
    """A term added to a player's loss. An example: the mean square of the logits of generated samples.

    Args:
        weight: Factor on the penalty.
        interval: Updates of the player between evaluations.
        player: The player whose loss it is added to.
    """

    weight: float = 0.01
    interval: int = 1
    player: str = "discriminator"

    per_sample: ClassVar[bool] = False
    """True if the formula needs the gradient of each logit by its own sample, which batch norm would mix."""

    def __call__(self, step: Step) -> Tensor:
        """The penalty before weighting, 0-dim; `step` has `real` and `fake` with `samples`, `logits` and `critic`."""
        return torch.square(step.fake.logits).mean()
