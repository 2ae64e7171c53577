"""Distances between generated samples and the real samples that they should equal, for the generator."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gan_lab.regularizers.base import CheckedPenalty
from gan_lab.step import Step


@dataclass(frozen=True)
class AbsoluteDifference(CheckedPenalty):
    """Mean absolute difference of generated samples from the real samples of the same sources: L1 of pix2pix.

    Isola et al. (2017), section 3.1. It needs a data set of pairs.

    Args:
        weight: lambda of the paper, for images in [-1, 1].
        interval: Updates of the generator between evaluations.
    """

    weight: float = 100.0
    interval: int = 1
    player: str = "generator"
    per_sample: ClassVar[bool] = False
    player_kind: ClassVar[str] = "generator"
    needs_pairs: ClassVar[bool] = True

    def __call__(self, step: Step) -> Tensor:
        real, fake = step.real.samples, step.fake.samples  # of several batches of generated samples, one after another
        return (fake.unflatten(0, (-1, len(real))) - real).abs().mean()
