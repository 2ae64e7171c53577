"""Formulas for points in the plane: histograms, divergences between them, and optimal transport."""

import math

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def cell_edges(bins: int, extent: float) -> Tensor:
    """Edges of `bins` equal cells over [-extent, extent], float64 (bins + 1,)."""
    return torch.linspace(-extent, extent, bins + 1, dtype=torch.float64)


def cell_counts(points: Tensor, bins: int, extent: float) -> Tensor:
    """How many points lie in each of bins x bins cells over [-extent, extent]^2, and how many elsewhere.

    Args:
        points: (n, 2), any float dtype; NaN counts as elsewhere.
        bins: Cells along each axis.
        extent: Half the side of the square.

    Returns:
        int64 (bins² + 1,): the cell [x, y] at position x bins + y; the last entry is what lies outside the square.
    """
    cells = ((points.double() + extent) * (bins / (2 * extent))).floor()  # (n, 2)
    inside = ((cells >= 0) & (cells < bins)).all(1)
    position = torch.where(inside, cells[:, 0] * bins + cells[:, 1], bins**2)
    return torch.bincount(position.long(), minlength=bins**2 + 1)


def with_rest(probabilities: Tensor) -> Tensor:
    """Probabilities of cells (a, b) as one row (a b + 1,) whose last entry is what is missing from 1."""
    return torch.cat([probabilities.flatten(), (1 - probabilities.sum()).clamp(min=0).view(1)])


def smoothed(masses: Tensor, eps: float) -> Tensor:
    """Masses (n,), not negative, to probabilities of which none is below about `eps`: normalized, `eps` added, normalized."""
    shares = masses.double() / masses.sum() + eps
    return shares / shares.sum()


def kl_divergence(p: Tensor, q: Tensor) -> Tensor:
    """Kullback-Leibler divergence of probabilities p (n,) from q (n,), in nats; infinite where only q is 0."""
    return (torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum()


def wasserstein_1(a: Tensor, b: Tensor) -> Tensor:
    """Wasserstein-1 distance of two sets of as many points, exact: the mean Euclidean distance under the best pairing.

    Args:
        a: Points (n, d), any float dtype.
        b: Points (n, d).

    Returns:
        float64 scalar on the CPU; NaN without points, or where a coordinate is not finite.
    """
    if len(a) == 0 or not (a.isfinite().all() and b.isfinite().all()):
        return torch.tensor(math.nan, dtype=torch.float64)
    # The fast way through a matrix product would lose half of the digits.
    costs = torch.cdist(a.double().cpu(), b.double().cpu(), compute_mode="donot_use_mm_for_euclid_dist")
    # What every pairing pays for a point of `b` can be left out, and then the search ends in half the time.
    rows, columns = linear_sum_assignment((costs - costs.amin(0)).numpy())
    return costs[rows, columns].mean()
