"""Walks through a latent space: between two points, on closed curves, and the lengths of their steps."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lab.gans.latents import LatentPrior
from gan_lab.layers.labeled import averaged_in_mixtures
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


def samples_between(space: Space, ends: Sequence[tuple[Tensor, Tensor | None]], times: Tensor) -> Iterator[Tensor]:
    """Samples (n, ...) at times in [0, 1] between two ends: points (n, dim) with their conditions."""
    (points, given), (others, other) = ends
    walks = torch.stack([walk_between(space, *pair, times) for pair in zip(points, others, strict=True)], 1)
    mixes = bool(averaged_in_mixtures(space.loaded.generator))
    for place, time in zip(walks, times.tolist(), strict=True):
        yield space.generate(place, _mixed(given, other, time, space.loaded.condition.num_classes if mixes else None))


def closed_spline(points: int, frames: int) -> Tensor:
    """Weights of points in a smooth closed curve through them: a uniform Catmull-Rom spline (Catmull & Rom, 1974).

    Args:
        points: Number of points, equally far apart in time.
        frames: Number of times; the first is that of the first point.

    Returns:
        float32 (frames, points); each row sums to 1.
    """
    steps = torch.arange(frames) * points
    t = (steps % frames / frames)[:, None]  # in [0, 1) between a point and the next
    powers = torch.cat([t**0, t, t**2, t**3], 1)
    matrix = torch.tensor([[0.0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    nearby = ((steps // frames)[:, None] + torch.arange(-1, 3)) % points  # one before, two around, one after
    return torch.zeros(frames, points).scatter_add_(1, nearby, powers @ matrix)


def number_of_points(frames: int, smoothing: float) -> int:
    """Number of points of a spline: two standard deviations of the blur apart, at least 2, at most one for each frame.

    Lines between independent points this far apart have the mean square speed of `LatentPrior.closed_path`.

    Args:
        frames: At least 2.
        smoothing: Standard deviation in frames.
    """
    return max(2, round(frames / max(1, 2 * smoothing)))


class StepLengths:
    """Distances between the samples of successive frames, as root mean squares of pixels.

    A walk of a network that interpolates is smooth; a sharp transition, many times the mean step, is a sign of
    memorized images (Radford et al., 2016, section 6.1).
    """

    def __init__(self) -> None:
        self._before: Tensor | None = None
        self._steps: list[Tensor] = []

    def add(self, samples: Tensor) -> None:
        """Add the samples (n, ...) of the next frame."""
        if self._before is not None:
            self._steps.append((samples - self._before).square().flatten(1).mean(1).sqrt().cpu())
        self._before = samples

    @property
    def largest_over_mean(self) -> float | None:
        """Largest over the samples of their largest step divided by their mean step; None without a change."""
        if not self._steps:
            return None
        steps = torch.stack(self._steps)  # (frames - 1, n)
        found = (steps.amax(0) / steps.mean(0)).nan_to_num(0, 0, 0).max().item()
        return found or None


def _mixed(first: Tensor | None, second: Tensor | None, time: float, classes: int | None) -> Tensor | None:
    """The condition between two: weights of the labels for a generator that takes them, else that of the nearer end."""
    if first is None or second is None or torch.equal(first, second):
        return first
    if classes is None:
        return second if time >= 0.5 else first
    return torch.lerp(F.one_hot(first, classes).float(), F.one_hot(second, classes).float(), time)


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
