"""Walks between two points of a latent space."""

import torch
from torch import Tensor

from gan_lab.gans.latents import LatentPrior
from gan_lab.sampling.spaces import Space

FRAMES_PER_SECOND = 10
"""Of the animation of a walk in the browser."""

_PARALLEL = 1e-4
"""Sine of an angle between latents up to which they have no arc between them."""


def walk_between(space: Space, first: Tensor, second: Tensor, times: Tensor) -> Tensor:
    """Points (t, ...) from the first, at time 0, to the second, at time 1.

    They are on a line; but between normal latents the direction turns at a constant angle and the length changes at a
    constant speed (White, 2016): in many dimensions the middle of a line is much shorter than any sample, and images
    there have less contrast.

    Args:
        space: Space of the points.
        first: float (...).
        second: Likewise.
        times: float (t,), in [0, 1].
    """
    prior = space.loaded.latent
    normal = space.name == "z" and not (isinstance(prior, LatentPrior) and prior.distribution == "uniform")
    points = _on_arc(first, second, times) if normal else None
    ones = [1] * first.dim()
    line = torch.lerp(first, second, times.view(-1, *ones))
    return line if points is None else torch.where(((times > 0) & (times < 1)).view(-1, *ones), points, line)


def _on_arc(first: Tensor, second: Tensor, times: Tensor) -> Tensor | None:
    """Points (t, dim) of directions on a great circle and lengths on a line; None if there is no such circle."""
    lengths = first.norm(), second.norm()
    cosine = (first @ second / (lengths[0] * lengths[1])).clamp(-1, 1)
    angle = cosine.arccos()
    if not angle.sin() > _PARALLEL:  # also without length or coordinates
        return None
    t = times[:, None]
    direction = ((1 - t) * angle).sin() * first / lengths[0] + (t * angle).sin() * second / lengths[1]
    return torch.lerp(*lengths, t) * direction / angle.sin()
