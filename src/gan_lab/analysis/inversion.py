"""Inversion: latents or styles whose samples are nearest to given images.

Lipton & Tripathi (2017) for latents; Karras et al. (2020), appendix D, for styles.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi

import torch
from torch import Tensor

from gan_lab.noise import Noise, mix

RAMP_DOWN, RAMP_UP = 0.25, 0.05
"""Fractions of the steps in which the learning rate falls to zero and rises from it, as in StyleGAN2's projector."""

NOISE_STEPS = 0.75
"""Fraction of the steps in which the noise on the points falls to zero, as there."""


@dataclass(frozen=True)
class Inversion:
    """Points whose samples are nearest to images.

    Attributes:
        points: float32 (n, ..., dim), of the best restart of each image.
        errors: Loss of each image without the prior's term, float32 (n,).
        curve: Mean loss over the images at each step, with its noise, and at the end; of the start that is best there.
        frames: Points of the first restart at a few steps, float32 (frames, n, ..., dim).
    """

    points: Tensor
    errors: Tensor
    curve: list[float]
    frames: Tensor


def invert(
    generate: Callable[[Tensor], Tensor],
    loss: Callable[[Tensor], Tensor],
    starts: Tensor,
    steps: int,
    lr: float,
    prior_weight: float = 0.0,
    bound: float | None = None,
    noise: float = 0.0,
    seed: int = 0,
    frames: int = 8,
) -> Inversion:
    """Minimize a loss over points by Adam, for several images and starts at once; the best start of each image wins.

    Args:
        generate: Points (n, ..., dim) to samples, differentiable; every row depends on its own point only.
        loss: Samples (n, ...) of the points of one start to the loss (n,) of each image.
        starts: First points, float32 (restarts, n, ..., dim).
        steps: Updates of each start.
        lr: Learning rate at its highest; it rises over the first steps and falls to zero over the last quarter.
        prior_weight: Weight of the mean square of the coordinates, which keeps normal latents near the origin.
        bound: Half the width of a uniform prior: coordinates that leave it are drawn again after each step (stochastic
            clipping, Lipton & Tripathi, 2017); None for no bound.
        noise: Standard deviation of the normal noise on the points at the first step. It widens the search, and falls
            to zero over the first three quarters (Karras et al., 2020).
        seed: Key of these draws.
        frames: Number of steps whose points are kept.
    """
    found = [_one_start(generate, loss, each, steps, lr, prior_weight, bound, noise, mix(seed, number), frames)
             for number, each in enumerate(starts)]  # fmt: skip
    errors = torch.stack([each.errors for each in found])  # (restarts, n)
    best = errors.argmin(0)
    points = torch.stack([each.points for each in found])[best, torch.arange(len(best))]
    curve = [min(values) for values in zip(*(each.curve for each in found), strict=True)]
    return Inversion(points, errors.amin(0), curve, found[0].frames)


def _one_start(
    generate: Callable[[Tensor], Tensor], loss: Callable[[Tensor], Tensor], start: Tensor, steps: int, lr: float,
    prior_weight: float, bound: float | None, noise: float, seed: int, frames: int,
) -> Inversion:  # fmt: skip
    points = start.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([points], lr=lr)
    stream = Noise(seed, len(points))
    noise_stream = stream.child("points")
    kept = {round(number * (steps - 1) / max(1, frames - 1)) for number in range(frames)}
    curve, shown = [], []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * ramp(step / steps)
        deviation = noise * noise_ramp(step / steps)
        noisy = points + deviation * noise_stream.normal(*points.shape[1:]).to(points) if deviation else points
        errors = loss(generate(noisy))
        total = errors.sum() + prior_weight * points.square().mean(1).sum()
        (points.grad,) = torch.autograd.grad(total, points)
        curve.append(errors.detach().mean())
        if step in kept:
            shown.append(points.detach().cpu().clone())
        optimizer.step()
        if bound is not None:
            _clip(points, bound, stream)
    with torch.no_grad():
        errors = loss(generate(points))
    curve.append(errors.mean())
    # The curve is copied once at its end: no step waits for a GPU.
    return Inversion(points.detach().cpu(), errors.cpu(), torch.stack(curve).tolist(), torch.stack(shown))


@torch.no_grad()
def _clip(points: Tensor, bound: float, stream: Noise) -> None:
    """Draw coordinates beyond the bound again, in place."""
    outside = points.abs() > bound
    drawn = stream.uniform(*points.shape[1:]).to(points) * 2 * bound - bound
    points.copy_(torch.where(outside, drawn, points))


def ramp(progress: float) -> float:
    """Factor on the learning rate at a fraction of the steps, in [0, 1)."""
    down = min(1.0, (1 - progress) / RAMP_DOWN)
    return (0.5 - 0.5 * cos(down * pi)) * min(1.0, progress / RAMP_UP + 0.05)


def noise_ramp(progress: float) -> float:
    """Factor on the noise at a fraction of the steps, in [0, 1)."""
    return max(0.0, 1 - progress / NOISE_STEPS) ** 2
