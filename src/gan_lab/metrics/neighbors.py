"""Fidelity and diversity from nearest neighbors: precision and recall, density and coverage."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gan_lab.metrics.features import FeatureMetric, Protocol, in_order, require


class Balls(NamedTuple):
    """A ball around each of n points; their union estimates the support of the distribution.

    Attributes:
        centers: (n, d), float64.
        squares: Squared radii (n,).
        rounding: Largest rounding error between two equal squared distances at the boundary of each ball, (n,).
    """

    centers: Tensor
    squares: Tensor
    rounding: Tensor


def balls(points: Tensor, k: int, chunk: int = 512) -> Balls:
    """Balls around points, each with the distance to the k-th nearest other point as radius.

    Args:
        points: (n, d), float64; n above k. Duplicates count as other points, so a radius may be 0.
        k: Number of the neighbor that lies on the boundary.
        chunk: Rows of distances in memory at once.
    """
    squares = torch.cat([_squared_distances(rows, points).kthvalue(k + 1, dim=1)[0] for rows in points.split(chunk)])
    squares = squares.clamp(min=0)  # (n,); k + 1, since each point is the nearest to itself
    norms = points.square().sum(1)
    largest = (
        norms + (norms.sqrt() + squares.sqrt()).square()
    )  # sum of both squared norms if the other point is on the boundary
    return Balls(points, squares, 4 * (points.shape[1] + 2) * torch.finfo(points.dtype).eps * largest)


def precision_recall(real: Tensor, generated: Tensor, k: int = 3, chunk: int = 512) -> tuple[Tensor, Tensor]:
    """Improved precision and recall (Kynkäänniemi et al., 2019).

    Precision is the fraction of generated points in at least one ball that reaches from a real point to its k-th
    neighbor, boundary included. Recall is the fraction of real points in the balls of the generated points.

    Args:
        real: (n, d), float64, n above k.
        generated: (m, d), m above k.
        k: Number of the neighbor whose distance is the radius.
        chunk: Rows of distances in memory at once.

    Returns:
        Two float64 scalars in [0, 1].
    """
    real, generated = _centered(real, generated)
    precision = _fraction_inside(balls(real, k, chunk), generated, chunk)
    return precision, _fraction_inside(balls(generated, k, chunk), real, chunk)


def density_coverage(real: Tensor, generated: Tensor, k: int = 5, chunk: int = 512) -> tuple[Tensor, Tensor]:
    """Density and coverage (Naeem et al., 2020).

    Density is the mean number of real points' balls that contain a generated point, divided by k; outliers among the
    real points change it little, and it may be above 1. Coverage is the fraction of real points whose ball contains a
    generated point. Unlike in `precision_recall`, the boundary does not belong to a ball.

    Args:
        real: (n, d), float64, n above k.
        generated: (m, d), m at least 1.
        k: Number of the neighbor whose distance is the radius.
        chunk: Rows of distances in memory at once.

    Returns:
        Two float64 scalars.
    """
    real, generated = _centered(real, generated)
    around = balls(real, k, chunk)
    limits = around.squares - around.rounding
    counts, covered = [], torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for rows in generated.split(chunk):
        inside = _squared_distances(rows, around.centers) < limits  # (chunk, n)
        counts.append(inside.sum())
        covered |= inside.any(0)
    return torch.stack(counts).sum().double() / (k * len(generated)), covered.double().mean()


class PrecisionRecall(FeatureMetric):
    """Improved precision and recall of generated images (Kynkäänniemi et al., 2019); see `precision_recall`.

    The paper uses 50,000 real and generated images and k = 3. Both values depend on the number of images: identical
    sets have 1, but two sets from the same distribution have less. An outlier has a large ball, so outliers among the
    real images raise precision, and those among the generated images raise recall.

    Args:
        extractor: Images (n, ...) to features (n, d); None if the images are features already.
        k: Number of the neighbor whose distance is the radius.

    Raises:
        ValueError: k is below 1.
    """

    higher_is_better = True

    def __init__(self, extractor: nn.Module | None = None, k: int = 3) -> None:
        super().__init__(extractor)
        require(k >= 1, f"k={k}", "at least 1")
        self.k = k

    def compute(self) -> dict[str, Tensor]:
        """Scalars `precision` and `recall`, float64 in [0, 1].

        Raises:
            ValueError: There are fewer than k + 1 real or generated images.
        """
        real, generated = (in_order(self._all(real, needed=self.k + 1)) for real in (True, False))
        precision, recall = precision_recall(real, generated, self.k)
        return {"precision": precision, "recall": recall}

    @property
    def protocol(self) -> Protocol:
        return super().protocol | {"k": self.k}


class DensityCoverage(FeatureMetric):
    """Density and coverage of generated images (Naeem et al., 2020); see `density_coverage`.

    For two sets from the same distribution the mean density is 1, and the mean coverage about 1 - 2^-k with equal
    numbers of real and generated images.

    Args:
        extractor: Images (n, ...) to features (n, d); None if the images are features already.
        k: Number of the neighbor whose distance is the radius.

    Raises:
        ValueError: k is below 1.
    """

    higher_is_better = True

    def __init__(self, extractor: nn.Module | None = None, k: int = 5) -> None:
        super().__init__(extractor)
        require(k >= 1, f"k={k}", "at least 1")
        self.k = k

    def compute(self) -> dict[str, Tensor]:
        """Scalars `density`, at least 0, and `coverage`, in [0, 1], float64.

        Raises:
            ValueError: There are fewer than k + 1 real images, or there is no generated image.
        """
        real, generated = self._all(real=True, needed=self.k + 1), self._all(real=False, needed=1)
        density, coverage = density_coverage(in_order(real), in_order(generated), self.k)
        return {"density": density, "coverage": coverage}

    @property
    def protocol(self) -> Protocol:
        return super().protocol | {"k": self.k}


def _centered(real: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
    """Both sets minus the mean of the real points: the same distances, but smaller norms and rounding errors."""
    return real - real.mean(0), generated - real.mean(0)


def _fraction_inside(around: Balls, points: Tensor, chunk: int) -> Tensor:
    """Fraction of points (m, d) in at least one ball, boundary included."""
    limits = around.squares + around.rounding
    inside = [(_squared_distances(rows, around.centers) <= limits).any(1) for rows in points.split(chunk)]
    return torch.cat(inside).double().mean()


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances (n, m) of rows a (n, d) and b (m, d) by a matrix product.

    This is far faster than differences, but less exact. The error is at most 2 (d + 2) eps (|a|² + |b|²);
    `Balls.rounding` is twice that, to compare two such distances.
    """
    return a.square().sum(1)[:, None] - 2 * (a @ b.T) + b.square().sum(1)
