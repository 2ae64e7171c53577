"""Fidelity and variety by nearest neighbours: precision and recall, density and coverage."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gan_lab.metrics.features import FeatureMetric, Protocol, in_order, require


class Balls(NamedTuple):
    """A ball around each of n points; what lies inside is taken for the neighbourhood of the points.

    Args:
        centres: (n, d), float64.
        squares: Squared radii (n,).
        rounding: How far apart two equal squared distances may come out, at the rim of each ball, (n,).
    """

    centres: Tensor
    squares: Tensor
    rounding: Tensor


def balls(points: Tensor, k: int, chunk: int = 512) -> Balls:
    """Balls that reach to the k-th nearest of the other points.

    Args:
        points: (n, d), float64; n above k. Duplicates count as others, so a radius may be 0.
        k: Which neighbour lies on the rim.
        chunk: Rows of distances that are held at once.
    """
    squares = torch.cat([_squared_distances(rows, points).kthvalue(k + 1, dim=1)[0] for rows in points.split(chunk)])
    squares = squares.clamp(min=0)  # (n,); k + 1, since each point is the nearest to itself
    norms = points.square().sum(1)
    largest = norms + (norms.sqrt() + squares.sqrt()).square()  # both norms of a pair whose second is on the rim
    return Balls(points, squares, 4 * (points.shape[1] + 2) * torch.finfo(points.dtype).eps * largest)


def precision_recall(real: Tensor, generated: Tensor, k: int = 3, chunk: int = 512) -> tuple[Tensor, Tensor]:
    """Improved precision and recall (Kynkäänniemi et al., 2019).

    Precision is the share of generated points in at least one of the balls that reach from each real point to its k-th
    neighbour, rim included. Recall is the share of real points in the balls of the generated ones.

    Args:
        real: (n, d), float64, n above k.
        generated: (m, d), m above k.
        k: Which neighbour makes the radius.
        chunk: Rows of distances that are held at once.

    Returns:
        Two float64 scalars in [0, 1].
    """
    real, generated = _centred(real, generated)
    return _share_in(balls(real, k, chunk), generated, chunk), _share_in(balls(generated, k, chunk), real, chunk)


def density_coverage(real: Tensor, generated: Tensor, k: int = 5, chunk: int = 512) -> tuple[Tensor, Tensor]:
    """Density and coverage (Naeem et al., 2020).

    Density is the mean number of real points' balls in which a generated point lies, divided by k; an outlier among the
    real points makes little of it, and it may be above 1. Coverage is the share of real points in whose ball there is a
    generated point. The rim, where the k-th neighbour lies, does not belong to a ball: unlike in `precision_recall`.

    Args:
        real: (n, d), float64, n above k.
        generated: (m, d), m at least 1.
        k: Which neighbour makes the radius.
        chunk: Rows of distances that are held at once.

    Returns:
        Two float64 scalars.
    """
    real, generated = _centred(real, generated)
    around = balls(real, k, chunk)
    limits = around.squares - around.rounding
    counts, covered = [], torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for rows in generated.split(chunk):
        inside = _squared_distances(rows, around.centres) < limits  # (chunk, n)
        counts.append(inside.sum())
        covered |= inside.any(0)
    return torch.stack(counts).sum().double() / (k * len(generated)), covered.double().mean()


class PrecisionRecall(FeatureMetric):
    """Improved precision and recall of generated images (Kynkäänniemi et al., 2019); see `precision_recall`.

    The paper has 50,000 real and generated images and k = 3. Both numbers hang on how many images there are: equal sets
    have 1, but two sets of one distribution have less. An outlier has a large ball, so that outliers among the real
    images make precision too good, and those among the generated ones recall.

    Args:
        extractor: Images (n, ...) to features (n, d); None where the images are features already.
        k: Which neighbour makes the radius.

    Raises:
        ValueError: k is below 1.
    """

    higher_is_better = True

    def __init__(self, extractor: nn.Module | None = None, k: int = 3) -> None:
        super().__init__(extractor)
        require(k >= 1, f"k={k}", "at least 1")
        self.k = k

    def compute(self) -> dict[str, Tensor]:
        """`precision` and `recall`, float64 scalars in [0, 1].

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

    For two sets of one distribution the mean density is 1, and the mean coverage about 1 - 2^-k with as many real as
    generated images.

    Args:
        extractor: Images (n, ...) to features (n, d); None where the images are features already.
        k: Which neighbour makes the radius.

    Raises:
        ValueError: k is below 1.
    """

    higher_is_better = True

    def __init__(self, extractor: nn.Module | None = None, k: int = 5) -> None:
        super().__init__(extractor)
        require(k >= 1, f"k={k}", "at least 1")
        self.k = k

    def compute(self) -> dict[str, Tensor]:
        """`density`, at least 0, and `coverage`, in [0, 1], float64 scalars.

        Raises:
            ValueError: There are fewer than k + 1 real images, or no generated one.
        """
        real, generated = self._all(real=True, needed=self.k + 1), self._all(real=False, needed=1)
        density, coverage = density_coverage(in_order(real), in_order(generated), self.k)
        return {"density": density, "coverage": coverage}

    @property
    def protocol(self) -> Protocol:
        return super().protocol | {"k": self.k}


def _centred(real: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
    """Both moved by the mean of the real points: distances stay, and rounding errors, which grow with norms, shrink."""
    return real - real.mean(0), generated - real.mean(0)


def _share_in(around: Balls, points: Tensor, chunk: int) -> Tensor:
    """Share of points (m, d) in at least one ball, rim included."""
    limits = around.squares + around.rounding
    inside = [(_squared_distances(rows, around.centres) <= limits).any(1) for rows in points.split(chunk)]
    return torch.cat(inside).double().mean()


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(n, m) of rows a (n, d) and b (m, d), by a matrix product: far faster than by differences, but with an error.

    The error is at most 2 (d + 2) eps (|a|² + |b|²): `Balls.rounding` is twice that, for comparing two such numbers.
    """
    return a.square().sum(1)[:, None] - 2 * (a @ b.T) + b.square().sum(1)
