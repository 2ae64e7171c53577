"""Formulas for 2-D points: histograms, divergences between histograms, and optimal transport."""

import math

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def cell_edges(bins: int, extent: float) -> Tensor:
    """Edges of `bins` equal cells over [-extent, extent], float64 (bins + 1,)."""
    return torch.linspace(-extent, extent, bins + 1, dtype=torch.float64)


def cell_counts(points: Tensor, bins: int, extent: float) -> Tensor:
    """Number of points in each of bins x bins cells over [-extent, extent]², and number of points outside.

    Args:
        points: (n, 2), any float dtype; NaN counts as outside.
        bins: Cells along each axis.
        extent: Half the width of the square.

    Returns:
        int64 (bins² + 1,): cell [x, y] at position x bins + y; the last entry counts the points outside the square.
    """
    cells = ((points.double() + extent) * (bins / (2 * extent))).floor()  # (n, 2)
    inside = ((cells >= 0) & (cells < bins)).all(1)
    position = torch.where(inside, cells[:, 0] * bins + cells[:, 1], bins**2)
    return torch.bincount(position.long(), minlength=bins**2 + 1)


def with_rest(probabilities: Tensor) -> Tensor:
    """Probabilities of cells (a, b) as one row (a b + 1,) whose last entry is 1 minus their sum."""
    return torch.cat([probabilities.flatten(), (1 - probabilities.sum()).clamp(min=0).view(1)])


def smoothed(masses: Tensor, eps: float) -> Tensor:
    """Non-negative masses (n,) as probabilities of at least about `eps`: normalize, add `eps`, normalize again."""
    probabilities = masses.double() / masses.sum() + eps
    return probabilities / probabilities.sum()


def kl_divergence(p: Tensor, q: Tensor) -> Tensor:
    """Kullback-Leibler divergence KL(p || q) of probabilities (n,), in nats; infinite if q is 0 where p is not."""
    return (torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum()


def wasserstein_1(a: Tensor, b: Tensor) -> Tensor:
    """Exact Wasserstein-1 distance of two sets of n points: the mean Euclidean distance under the optimal assignment.

    Args:
        a: Points (n, d), any float dtype.
        b: Points (n, d).

    Returns:
        float64 scalar on the CPU; NaN without points, or if a coordinate is not finite.
    """
    if len(a) == 0 or not (a.isfinite().all() and b.isfinite().all()):
        return torch.tensor(math.nan, dtype=torch.float64)
    # Computing distances by a matrix product would be faster, but would lose half of the digits.
    costs = torch.cdist(a.double().cpu(), b.double().cpu(), compute_mode="donot_use_mm_for_euclid_dist")
    # Subtracting each column's minimum does not change the optimal assignment, and halves the time of the search.
    rows, columns = linear_sum_assignment((costs - costs.amin(0)).numpy())
    return costs[rows, columns].mean()
