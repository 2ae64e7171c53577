"""Arithmetic on latents: A - B + C of means of exemplars (Radford et al., 2016, section 6.3.2)."""

from math import sqrt

import torch
from torch import Tensor


def combine(a: Tensor, b: Tensor, c: Tensor, mean: Tensor, rescale: bool = True) -> Tensor:
    """mean(A) - mean(B) + mean(C), float32 (dim,).

    For independent exemplars with variance v its variance is v (1 / n_A + 1 / n_B + 1 / n_C): that of the prior for
    three of each, larger for fewer and smaller for more.

    Args:
        a: Exemplars float (n_A, dim).
        b: Exemplars float (n_B, dim).
        c: Exemplars float (n_C, dim).
        mean: Mean of the prior, or of the styles, float (dim,).
        rescale: Scale the difference from the mean so that the variance is that of the prior for any numbers.
    """
    result = a.mean(0) - b.mean(0) + c.mean(0)
    if not rescale:
        return result
    factor = 1 / sqrt(1 / len(a) + 1 / len(b) + 1 / len(c))
    return mean + factor * (result - mean)


def neighbors(center: Tensor, deviation: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """The center amid eight points near it, float32 (9, ..., dim), the center as the fifth.

    Args:
        center: float (..., dim).
        deviation: Standard deviation of each coordinate, float (dim,).
        noise: Standard deviation of the noise, in these units.
        generator: On the CPU.
    """
    dim = center.shape[-1]
    offsets = noise * deviation * torch.randn(9, dim, generator=generator)
    points = center + offsets.view(9, *[1] * (center.dim() - 1), dim)
    points[4] = center
    return points
