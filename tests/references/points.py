"""The metrics of 2-D points from their formulas, in NumPy and SciPy alone."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import entropy, norm

Array = NDArray[np.float64]


def ring(modes: int = 8, radius: float = 2.0) -> Array:
    """Centers (modes, 2) on a circle."""
    angles = 2 * np.pi * np.arange(modes) / modes
    return radius * np.stack([np.cos(angles), np.sin(angles)], 1)


def counts_per_mode(points: Array, centers: Array, std: float, radius_stds: float = 3.0) -> NDArray[np.int64]:
    """Points (n, 2) within `radius_stds` standard deviations of their nearest center, for each center."""
    distances = cdist(points, centers)
    good = distances.min(1) <= radius_stds * std
    return np.bincount(distances.argmin(1)[good], minlength=len(centers))


def reverse_kl_of_modes(counts: NDArray[np.int64]) -> float:
    """KL(fractions of the modes || equal fractions), over the modes that were found."""
    return float(np.log(len(counts)) - entropy(counts / counts.sum()))


def divergences(
    points: Array, centers: Array, std: float, bins: int = 50, extent: float = 3.0, eps: float = 1e-6
) -> tuple[float, float]:
    """KL(mixture || points) and KL(points || mixture) of histograms with the rest of the plane as one more cell."""
    edges = np.linspace(-extent, extent, bins + 1)
    counts, _, _ = np.histogram2d(points[:, 0], points[:, 1], [edges, edges])
    generated = np.append(counts.ravel(), len(points) - counts.sum()) / len(points)
    in_x, in_y = (np.diff(norm.cdf(edges, centers[:, axis, None], std), axis=1) for axis in (0, 1))
    cells = np.einsum("ma,mb->ab", in_x, in_y).ravel() / len(centers)
    true = np.append(cells, 1 - cells.sum())
    p, q = ((masses + eps) / (masses + eps).sum() for masses in (true, generated))
    return float(entropy(p, q)), float(entropy(q, p))


def wasserstein(points: Array, others: Array) -> float:
    """Mean Euclidean distance of the best assignment of two sets of the same size."""
    costs = cdist(points, others)
    return float(costs[linear_sum_assignment(costs)].mean())
