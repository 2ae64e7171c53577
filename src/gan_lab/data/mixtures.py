"""Two-dimensional mixtures of Gaussians with exact densities, the toy distributions of the mode-collapse literature."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gan_lab.errors import ConfigError
from gan_lab.noise import Noise


@dataclass(frozen=True)
class GaussianMixture:
    """Equally likely Gaussians with one covariance, std² times the identity.

    Args:
        centres: Coordinates (x, y) of each mode.
        std: Standard deviation of each coordinate.
    """

    centres: tuple[tuple[float, float], ...]
    std: float

    @property
    def modes(self) -> int:
        """Number of Gaussians."""
        return len(self.centres)

    def sample(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """Draw points, float32 (n, 2), and the modes that they come from, int64 (n,); n is the rows of the noise."""
        labels = (noise.uniform() * self.modes).long()
        offsets = noise.normal(2)
        centres = torch.tensor(self.centres, dtype=offsets.dtype, device=offsets.device)
        return centres[labels] + self.std * offsets, labels

    def log_prob(self, points: Tensor) -> Tensor:
        """Logarithm of the density at points (n, 2): (n,)."""
        centres = torch.tensor(self.centres, dtype=points.dtype, device=points.device)
        squared = (points[:, None, :] - centres).square().sum(-1)  # (n, modes)
        normalizer = math.log(2 * math.pi * self.std**2 * self.modes)
        return torch.logsumexp(-squared / (2 * self.std**2), dim=1) - normalizer

    def cell_probabilities(self, edges_x: Tensor, edges_y: Tensor) -> Tensor:
        """Probability of each cell of a grid, exact, from products of Gaussian distribution functions.

        Args:
            edges_x: Ascending edges of the columns, (a + 1,).
            edges_y: Ascending edges of the rows, (b + 1,).

        Returns:
            float64 (a, b), indexed [x, y]; what lies outside the grid is missing from the sum.
        """
        centres = torch.tensor(self.centres, dtype=torch.float64)
        in_x = torch.special.ndtr((edges_x.double() - centres[:, :1]) / self.std).diff(dim=1)  # (modes, a)
        in_y = torch.special.ndtr((edges_y.double() - centres[:, 1:]) / self.std).diff(dim=1)  # (modes, b)
        return torch.einsum("ma,mb->ab", in_x, in_y) / self.modes


def ring(modes: int = 8, radius: float = 2.0, std: float = 0.02**0.5, divisor: float = 1.0) -> GaussianMixture:
    """Modes at equal distances on a circle, the first at angle 0; by default those of D2GAN (Nguyen et al., 2017).

    D2GAN has radius 2 and covariance 0.02 I; the code of Unrolled GAN (Metz et al., 2017), VEEGAN (Srivastava et al.,
    2017) and PacGAN (Lin et al., 2018) radius 1 and std 0.01; the toy code of WGAN-GP (Gulrajani et al., 2017) radius 2,
    std 0.02 and divisor 1.414.

    Args:
        modes: Number of Gaussians.
        radius: Distance of the centres from the origin, before the division.
        std: Standard deviation of each coordinate, before the division.
        divisor: What all coordinates are divided by, spread included.
    """
    angles = [2 * math.pi * mode / modes for mode in range(modes)]
    centres = [(radius * math.cos(angle), radius * math.sin(angle)) for angle in angles]
    return _divided(centres, std, divisor)


def grid(side: int = 5, spacing: float = 2.0, std: float = 0.05, divisor: float = 2.828) -> GaussianMixture:
    """A centred square of modes; by default the 25 of the toy code of WGAN-GP (Gulrajani et al., 2017).

    With divisor 1 it is the grid of VEEGAN (Srivastava et al., 2017) and PacGAN (Lin et al., 2018).

    Args:
        side: Modes along each axis.
        spacing: Distance between neighbours, before the division.
        std: Standard deviation of each coordinate, before the division.
        divisor: What all coordinates are divided by, spread included.
    """
    steps = [spacing * (step - (side - 1) / 2) for step in range(side)]
    return _divided([(x, y) for x in steps for y in steps], std, divisor)


def spiral(
    modes: int = 100,
    turns: float = 1.5,
    inner_radius: float = 1.5 * math.pi,
    radius: float = 4.5 * math.pi,
    std: float = 0.25,
    divisor: float = 7.5,
) -> GaussianMixture:
    """Modes at equal arc lengths of an Archimedean spiral; by default the Swiss roll of WGAN-GP's toy code as a mixture.

    There (Gulrajani et al., 2017) a point is t (cos t, sin t) + 0.25 N(0, I), with t uniform in [1.5 pi, 4.5 pi], divided
    by 7.5. Its density has no closed form; that of Gaussians on the same curve has one, and its modes can be counted. By
    default they are 3.6 std apart; from twice as many on, less than 2 std apart, they are one connected band.

    The middles of `modes` pieces of equal length are the centres, so that both ends of the curve are half a distance
    away from the nearest one.

    Args:
        modes: Number of Gaussians, numbered from the inner end to the outer one.
        turns: Turns around the origin.
        inner_radius: Distance of the inner end from the origin, before the division.
        radius: Distance of the outer end from the origin, before the division.
        std: Standard deviation of each coordinate, before the division.
        divisor: What all coordinates are divided by, spread included.

    Raises:
        ConfigError: It is no spiral.
    """
    if not turns > 0:
        raise ConfigError(f"dataset.mixture.turns={turns} is no spiral; give a number above 0.")
    if not 0 <= inner_radius < radius:
        raise ConfigError(
            f"dataset.mixture.inner_radius={inner_radius} is no spiral; give a number from 0 to below radius={radius}."
        )
    pitch = (radius - inner_radius) / (2 * math.pi * turns)  # radius per angle: the curve is pitch * angle * direction
    first, last = _arc_length(inner_radius / pitch), _arc_length(radius / pitch)
    lengths = [first + (last - first) * (mode + 0.5) / modes for mode in range(modes)]
    angles = [_angle_at(length) for length in lengths]
    centres = [(pitch * angle * math.cos(angle), pitch * angle * math.sin(angle)) for angle in angles]
    return _divided(centres, std, divisor)


def _arc_length(angle: float) -> float:
    """Length of the spiral of pitch 1 from the origin to this angle."""
    return (angle * math.hypot(1, angle) + math.asinh(angle)) / 2


def _angle_at(length: float) -> float:
    """The angle to which the spiral of pitch 1 has this length: the inverse of `_arc_length`, by Newton's method."""
    angle = math.sqrt(2 * length)  # never too small, and the length is convex: each step stays above the root
    for _ in range(20):
        angle -= (_arc_length(angle) - length) / math.hypot(1, angle)
    return angle


def _divided(centres: list[tuple[float, float]], std: float, divisor: float) -> GaussianMixture:
    if not divisor > 0:
        raise ConfigError(f"dataset.mixture.divisor={divisor} is not possible; give a number above 0.")
    return GaussianMixture(tuple((x / divisor, y / divisor) for x, y in centres), std / divisor)
