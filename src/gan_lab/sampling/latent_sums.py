"""A - B + C of latents or styles, amid its neighbors."""

import torch
from torch import Tensor

from gan_lab.analysis.arithmetic import combine, neighbors
from gan_lab.noise import mix
from gan_lab.sampling.pretrained import Given
from gan_lab.sampling.spaces import Space

_NOISE, _STYLES = 0x41524954, 0x5354594C
"""Noise keys of the neighbors and of the points that are measured: arbitrary constants."""

_MEASURED = 2000  # points whose mean and deviations are used


def sum_amid_neighbors(
    space: Space, a: Tensor, b: Tensor, c: Tensor, seed: int, labels: Given = None, rescale: bool = True,
    noise: float = 0.25,
) -> Tensor:  # fmt: skip
    """A - B + C amid eight neighbors, float32 (9, dim), the sum as the fifth.

    Args:
        space: Space of the points.
        a: Exemplars (n_A, dim).
        b: Exemplars (n_B, dim).
        c: Exemplars (n_C, dim).
        seed: Key of the neighbors.
        labels: Condition of the points whose mean and deviation are used, as in `Space.draw`.
        rescale: See `combine`.
        noise: Of the neighbors, in standard deviations of the points.
    """
    drawn, _ = space.draw(_MEASURED, mix(seed, _STYLES), labels)
    center = combine(a, b, c, drawn.mean(0), rescale)
    return neighbors(center, drawn.std(0), noise, torch.Generator().manual_seed(mix(seed, _NOISE)))
