"""Fréchet distances between the Gaussians that have the moments of two sets of features."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from gan_lab.metrics.features import FeatureMetric, in_order


def frechet_distance(mean_a: Tensor, covariance_a: Tensor, mean_b: Tensor, covariance_b: Tensor) -> Tensor:
    """|m_a - m_b|² + tr(S_a + S_b - 2 (S_a S_b)^½), the squared distance of FID (Heusel et al., 2017).

    The last trace is the sum of the singular values of R_aᵀ R_b for any roots R Rᵀ = S. So nothing is added to singular
    covariances, and no square root is taken of the rounding errors of their zero eigenvalues.

    Args:
        mean_a: (d,), float64.
        covariance_a: (d, d), symmetric and positive semi-definite, of any rank.
        mean_b: (d,).
        covariance_b: (d, d).

    Returns:
        float64 scalar, at least 0.
    """
    fidelity = torch.linalg.svdvals(_root(covariance_a).T @ _root(covariance_b)).sum()
    traces = covariance_a.trace() + covariance_b.trace()
    return ((mean_a - mean_b).square().sum() + traces - 2 * fidelity).clamp(min=0)


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and unbiased covariance (d, d) of features (n, d), n at least 2."""
    return _from_sums(_sums(features))


class FrechetDistance(FeatureMetric):
    """Fréchet distance of generated and real features: FID (Heusel et al., 2017) if the extractor is that Inception.

    It is biased upwards, the more so the fewer images there are: independent sets of one normal distribution in 64
    dimensions are 4.5 apart with 500 images each and 0.22 with 10,000. Only numbers of as many images can be compared.

    Of all images together it keeps the sums that the moments need, (d + 1)² numbers: these add up over processes.

    Args:
        extractor: Images (n, ...) to features (n, d); None where the images are features already.
    """

    higher_is_better = False
    real_kind: ClassVar[str] = "moments"

    def compute(self) -> Tensor:
        """The distance, float64 scalar.

        Raises:
            ValueError: There are fewer than two real or generated images.
        """
        real, generated = (_from_sums(_square(self._all(real, needed=2).sum(0))) for real in (True, False))
        return frechet_distance(*real, *generated)

    def _keep(self, kept: list[Tensor], features: Tensor) -> None:
        sums = _sums(features).view(1, -1)  # a row, as everything that is joined over processes
        kept[:] = [kept[0] + sums] if kept else [sums]

    def _count(self, rows: Tensor) -> int:
        return int(rows[:, :1].sum())

    def _length(self, rows: Tensor) -> int:
        return len(_square(rows[0])) - 1


class ClassFrechetDistance(FeatureMetric):
    """Fréchet distance within each class of the real images: `mean` over the classes and the `worst` of them.

    A generator that draws one class badly, or the images of one class under the label of another, may have a good
    distance over all. The bias is that of as few images as there are in a class, so these numbers are above those of
    `FrechetDistance`. All features are kept: sums for each class would mostly take more room.

    Args:
        extractor: Images (n, ...) to features (n, d); None where the images are features already.
    """

    higher_is_better = False
    real_kind: ClassVar[str] = "labelled_features"
    takes_labels: ClassVar[bool] = True

    def update(self, images: Tensor, real: bool = False, labels: Tensor | None = None) -> None:
        """Learn from images and their labels.

        Args:
            images: What the extractor takes, (n, ...); without an extractor features (n, d).
            real: Whether they are real images rather than generated ones.
            labels: Whole numbers (n,).

        Raises:
            ValueError: There are no such labels, or the features have another shape, or are not finite.
        """
        if labels is None or labels.shape != (len(images),):
            given = "none" if labels is None else str(tuple(labels.shape))
            raise ValueError(f"ClassFrechetDistance needs a label for each of {len(images)} images, but got {given}.")
        features = self._features(images, real)
        self._keep(self._kept(real), torch.cat([labels.to(features)[:, None], features], dim=1))

    def compute(self) -> dict[str, Tensor]:
        """`mean` and `worst`, float64 scalars, and `worst_class`, int64, the label of the latter.

        Raises:
            ValueError: A class has fewer than two real or generated images.
        """
        real, generated = (in_order(self._all(real, needed=2)) for real in (True, False))
        classes = torch.cat([real[:, 0], generated[:, 0]]).unique()
        distances = torch.stack([_class_distance(real, generated, label) for label in classes])
        worst = distances.argmax()
        return {"mean": distances.mean(), "worst": distances[worst], "worst_class": classes[worst].long()}

    def _length(self, rows: Tensor) -> int:
        return rows.shape[1] - 1


def _class_distance(real: Tensor, generated: Tensor, label: Tensor) -> Tensor:
    """Distance between the rows (label, features) that have one label."""
    sets = {"real": real[real[:, 0] == label, 1:], "generated": generated[generated[:, 0] == label, 1:]}
    for which, features in sets.items():
        if len(features) < 2:
            raise ValueError(
                f"ClassFrechetDistance needs at least 2 {which} images of each class, but has {len(features)} of class "
                f"{int(label)}."
            )
    real, generated = sets.values()
    if len(real) < real.shape[1] and len(generated) < real.shape[1]:
        return _distance_of_few(real, generated)
    return frechet_distance(*moments(real), *moments(generated))


def _distance_of_few(real: Tensor, generated: Tensor) -> Tensor:
    """`frechet_distance` of features (n, d) and (m, d), which takes a matrix (n, m) in place of some of (d, d).

    For rows A and B with A^T A and B^T B as their covariances, tr (S_a S_b)^(1/2) is the sum of the singular values of A B^T.
    """
    a, b = ((rows - rows.mean(0)) / (len(rows) - 1) ** 0.5 for rows in (real, generated))
    fidelity = torch.linalg.svdvals(a @ b.T).sum()
    shift = (real.mean(0) - generated.mean(0)).square().sum()
    return (shift + a.square().sum() + b.square().sum() - 2 * fidelity).clamp(min=0)


def _sums(features: Tensor) -> Tensor:
    """The sum of (1, f)ᵀ (1, f) over features f: count, sum and sum of outer products in one matrix (d + 1, d + 1)."""
    extended = torch.cat([features.new_ones(len(features), 1), features], dim=1)
    return extended.T @ extended


def _from_sums(sums: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and unbiased covariance (d, d)."""
    count, total, outer = sums[0, 0], sums[0, 1:], sums[1:, 1:]
    mean = total / count
    return mean, (outer - total[:, None] * mean) / (count - 1)


def _square(row: Tensor) -> Tensor:
    """A matrix from its entries."""
    return row.view(math.isqrt(len(row)), -1)


def _root(covariance: Tensor) -> Tensor:
    """(d, rank), which times its transpose is the covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    noise = len(values) * torch.finfo(values.dtype).eps * values.abs().max()  # how wrong any eigenvalue may be
    found = values > noise
    return vectors[:, found] * values[found].sqrt()
