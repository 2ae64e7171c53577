"""Mixtures of Gaussians in the plane with exact densities: the toy distributions of papers on mode collapse."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from gan_lab.errors import ConfigError
from gan_lab.noise import Noise


@dataclass(frozen=True)
class GaussianMixture:
    """Mixture of Gaussians with covariance std² times the identity, equally weighted except perhaps the first.

    Args:
        centers: Coordinates (x, y) of each mode.
        std: Standard deviation of each coordinate.
        first_twice: The first mode has twice the weight of each other.
    """

    centers: tuple[tuple[float, float], ...]
    std: float
    first_twice: bool = False

    @property
    def modes(self) -> int:
        """Number of Gaussians."""
        return len(self.centers)

    @property
    def weights(self) -> Tensor:
        """Probability of each mode, float64 (modes,)."""
        weights = torch.ones(self.modes, dtype=torch.float64)
        weights[:1] += self.first_twice
        return weights / self._parts

    @property
    def _parts(self) -> int:
        """Number of equal parts of the probability: one for each mode, two for the first with `first_twice`."""
        return self.modes + self.first_twice

    def sample(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """Sample points, float32 (n, 2), with their modes, int64 (n,), where n is the number of rows of the noise."""
        labels = (noise.uniform() * self._parts).long() % self.modes  # one part too many is the first mode again
        offsets = noise.normal(2)
        return self._centers.to(offsets)[labels] + self.std * offsets, labels

    @cached_property
    def _centers(self) -> Tensor:
        return torch.tensor(self.centers)

    def log_prob(self, points: Tensor) -> Tensor:
        """Logarithm of the density at points (n, 2): (n,)."""
        centers = torch.tensor(self.centers, dtype=points.dtype, device=points.device)
        squared = (points[:, None, :] - centers).square().sum(-1)  # (n, modes)
        log_weights = self.weights.log().to(squared)
        return torch.logsumexp(log_weights - squared / (2 * self.std**2), dim=1) - math.log(2 * math.pi * self.std**2)

    def cell_probabilities(self, edges_x: Tensor, edges_y: Tensor) -> Tensor:
        """Exact probability of each cell of a grid, from products of Gaussian distribution functions.

        Args:
            edges_x: Ascending edges of the columns, (a + 1,).
            edges_y: Ascending edges of the rows, (b + 1,).

        Returns:
            float64 (a, b), indexed [x, y]; they sum to the probability of the grid's area.
        """
        centers = torch.tensor(self.centers, dtype=torch.float64)
        in_x = torch.special.ndtr((edges_x.double() - centers[:, :1]) / self.std).diff(dim=1)  # (modes, a)
        in_y = torch.special.ndtr((edges_y.double() - centers[:, 1:]) / self.std).diff(dim=1)  # (modes, b)
        return torch.einsum("m,ma,mb->ab", self.weights, in_x, in_y)


def ring(
    modes: int = 8, radius: float = 2.0, std: float = 0.02**0.5, divisor: float = 1.0, first_twice: bool = False
) -> GaussianMixture:
    """Evenly spaced modes on a circle, the first at angle 0; by default those of D2GAN (Nguyen et al., 2017).

    D2GAN has radius 2 and covariance 0.02 I; VEEGAN (Srivastava et al., 2017) and PacGAN (Lin et al., 2018) radius 1
    and std 0.01; the toy code of WGAN-GP (Gulrajani et al., 2017) radius 2, std 0.02 and divisor 1.414. The codes of
    Unrolled GAN (Metz et al., 2017) and LSGAN (Mao et al., 2017), also with radius 1 and std 0.01, draw the angle 0 a
    second time as 2 pi: their 8 and 9 Gaussians are 7 and 8 modes with `first_twice`.

    Args:
        modes: Number of Gaussians.
        radius: Distance of the centers from the origin, before the division.
        std: Standard deviation of each coordinate, before the division.
        divisor: Divisor of all coordinates and of the standard deviation.
        first_twice: The first mode has twice the weight of each other.

    Raises:
        ConfigError: The radius or the divisor is not positive.
    """
    _require_positive("radius", radius)
    angles = [2 * math.pi * mode / modes for mode in range(modes)]
    centers = [(radius * math.cos(angle), radius * math.sin(angle)) for angle in angles]
    return replace(_divided(centers, std, divisor), first_twice=first_twice)


def grid(modes_per_axis: int = 5, spacing: float = 2.0, std: float = 0.05, divisor: float = 2.828) -> GaussianMixture:
    """A centered square of modes; by default the 25 of the toy code of WGAN-GP (Gulrajani et al., 2017).

    With divisor 1 it is the grid of VEEGAN (Srivastava et al., 2017) and PacGAN (Lin et al., 2018).

    Args:
        modes_per_axis: Modes along each axis.
        spacing: Distance between neighboring modes, before the division.
        std: Standard deviation of each coordinate, before the division.
        divisor: Divisor of all coordinates and of the standard deviation.

    Raises:
        ConfigError: The spacing or the divisor is not positive.
    """
    _require_positive("spacing", spacing)
    steps = [spacing * (step - (modes_per_axis - 1) / 2) for step in range(modes_per_axis)]
    return _divided([(x, y) for x in steps for y in steps], std, divisor)


def spiral(
    modes: int = 100,
    turns: float = 1.5,
    inner_radius: float = 1.5 * math.pi,
    radius: float = 4.5 * math.pi,
    std: float = 0.25,
    divisor: float = 7.5,
) -> GaussianMixture:
    """Modes evenly spaced on an Archimedean spiral; by default the Swiss roll of WGAN-GP's toy code as a mixture.

    There (Gulrajani et al., 2017) a point is t (cos t, sin t) + 0.25 N(0, I), with t uniform in [1.5 pi, 4.5 pi],
    divided by 7.5. Its density has no closed form; that of Gaussians on the same curve has one, and its modes can be
    counted. By default they are 3.6 std apart; twice as many, less than 2 std apart, form one connected band.

    The centers are the midpoints of `modes` segments of equal length, so both ends of the curve are half a segment away
    from the nearest center.

    Args:
        modes: Number of Gaussians, numbered from the inner end to the outer one.
        turns: Turns around the origin.
        inner_radius: Distance of the inner end from the origin, before the division.
        radius: Distance of the outer end from the origin, before the division.
        std: Standard deviation of each coordinate, before the division.
        divisor: Divisor of all coordinates and of the standard deviation.

    Raises:
        ConfigError: The values do not define a spiral.
    """
    _require_positive("turns", turns)
    if not 0 <= inner_radius < radius:
        raise ConfigError(
            f"dataset.mixture.inner_radius={inner_radius} is not possible; give a number from 0 to below "
            f"radius={radius}."
        )
    pitch = (radius - inner_radius) / (2 * math.pi * turns)  # radius per angle: the curve is pitch * angle * direction
    first, last = _arc_length(inner_radius / pitch), _arc_length(radius / pitch)
    lengths = [first + (last - first) * (mode + 0.5) / modes for mode in range(modes)]
    angles = [_angle_at(length) for length in lengths]
    centers = [(pitch * angle * math.cos(angle), pitch * angle * math.sin(angle)) for angle in angles]
    return _divided(centers, std, divisor)


def _arc_length(angle: float) -> float:
    """Length of the spiral of pitch 1 from the origin to this angle."""
    return (angle * math.hypot(1, angle) + math.asinh(angle)) / 2


def _angle_at(length: float) -> float:
    """Angle up to which the spiral of pitch 1 has this length: the inverse of `_arc_length`, by Newton's method."""
    angle = math.sqrt(2 * length)  # an upper bound; the length is convex, so each step stays above the root
    for _ in range(20):
        angle -= (_arc_length(angle) - length) / math.hypot(1, angle)
    return angle


def _divided(centers: list[tuple[float, float]], std: float, divisor: float) -> GaussianMixture:
    _require_positive("divisor", divisor)
    return GaussianMixture(tuple((x / divisor, y / divisor) for x, y in centers), std / divisor)


def _require_positive(name: str, value: float) -> None:
    if not value > 0:
        raise ConfigError(f"dataset.mixture.{name}={value} is not possible; give a number above 0.")
