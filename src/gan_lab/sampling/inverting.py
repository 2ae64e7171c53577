"""Search for the latents or styles of given images, with the settings of their space."""

from collections.abc import Callable

import torch
from torch import Tensor

from gan_lab.analysis.inversion import Inversion, invert
from gan_lab.gans.latents import LatentPrior
from gan_lab.noise import mix
from gan_lab.sampling.spaces import Space

_STARTS = 0x494E56
"""Noise key of the starts: an arbitrary constant."""

_STYLES = 4000  # latents whose mean style is the start in w


def search(
    space: Space, loss: Callable[[Tensor], Tensor], count: int, condition: Tensor | None, steps: int, starts: int,
    lr: float | None = None, prior_weight: float = 0.01, seed: int = 0, frames: int = 2, first: Tensor | None = None,
) -> Inversion:  # fmt: skip
    """Minimize a loss of samples over their points; the search stays in the support of a uniform prior.

    Args:
        space: Space of the points.
        loss: Samples (count, ...) to the loss (count,) of each image.
        count: Number of images.
        condition: Their condition, or None.
        steps: Updates of each start.
        starts: Number of starts: random points; of styles, the first is the mean.
        lr: Learning rate; None for that of the space.
        prior_weight: Weight of the mean square of normal latents.
        seed: Key of the starts.
        frames: Number of steps whose points are kept.
        first: Points (count, ...) of the first start, as of `encoded`; None for a start like the others.
    """
    begin = _starts(space, count, starts, seed)
    if first is not None:
        begin = torch.cat([first[None], begin[1:]])
    prior, bounded = space.loaded.latent, space.name == "z" and not has_normal_points(space)
    return invert(
        lambda points: space.with_graph(points, condition),
        loss,
        begin.to(space.loaded.device),
        steps,
        lr or default_lr(space),
        prior_weight if has_normal_points(space) else 0.0,
        prior.bound if bounded and isinstance(prior, LatentPrior) else None,
        seed,
        frames,
    )


def encoded(space: Space, images: Tensor, condition: Tensor | None) -> Tensor | None:
    """Points of images (n, C, H, W) by the encoder of the model, on the CPU; None without an encoder."""
    if space.loaded.inference is None:
        return None
    labels = None if space.loaded.condition.num_classes is None else condition
    return space.inside(space.of(space.loaded.encode(images, labels), condition))


def has_normal_points(space: Space) -> bool:
    """Whether the points are latents of a normal prior, which a weight keeps near the origin."""
    prior = space.loaded.latent
    return space.name == "z" and not (isinstance(prior, LatentPrior) and prior.distribution == "uniform")


def default_lr(space: Space) -> float:
    """Learning rate of a search in this space."""
    return 0.05 if space.name == "z" else 0.1


def _starts(space: Space, count: int, starts: int, seed: int) -> Tensor:
    """First points (starts, count, ...): random ones; of styles, the first start is their mean for all images."""
    points = space.draw(starts * count, mix(seed, _STARTS))[0].unflatten(0, (starts, count))
    if space.name == "z":
        return points
    mean = space.draw(_STYLES, mix(seed, _STARTS, _STYLES))[0].mean(0)
    return torch.cat([mean.expand(1, count, *mean.shape), points[1:]])
