"""Fréchet distances between Gaussians fitted to two sets of features."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from gan_lab.metrics.features import FeatureMetric, in_order


def frechet_distance(mean_a: Tensor, covariance_a: Tensor, mean_b: Tensor, covariance_b: Tensor) -> Tensor:
    """|m_a - m_b|² + tr(S_a + S_b - 2 (S_a S_b)^½), the squared distance of FID (Heusel et al., 2017).

    The trace of the matrix root is the sum of the singular values of R_aᵀ R_b for any roots R Rᵀ = S. So singular
    covariances need no offset, and rounding errors in their zero eigenvalues are never put under a square root.

    Args:
        mean_a: (d,), float64.
        covariance_a: (d, d), symmetric and positive semi-definite, of any rank.
        mean_b: (d,).
        covariance_b: (d, d).

    Returns:
        float64 scalar, at least 0.
    """
    return _distance(mean_a, _root(covariance_a), mean_b, _root(covariance_b))


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and unbiased covariance (d, d) of features (n, d) with n at least 2."""
    return _from_sums(_sums(features))


class FrechetDistance(FeatureMetric):
    """Fréchet distance of generated and real features: the FID (Heusel et al., 2017) if the extractor is `inception`.

    It is biased upwards, more with fewer images: two independent sets from the same normal distribution in 64
    dimensions are 4.5 apart with 500 images each and 0.22 with 10,000. Only values from the same number of images are
    comparable.

    The state is the sums that the moments need, (d + 1)² numbers, which are summed over processes.

    Args:
        extractor: Images (n, ...) to features (n, d); None if the images are features already.
    """

    higher_is_better = False
    real_kind: ClassVar[str] = "moments"

    def __init__(self, extractor: nn.Module | None = None) -> None:
        super().__init__(extractor)
        self._known: tuple[Tensor, tuple[Tensor, Tensor]] | None = None  # sums of real images; their mean and root

    def compute(self) -> Tensor:
        """The distance, float64 scalar.

        Raises:
            ValueError: There are fewer than two real or generated images.
        """
        return _distance(*self._real(self._all(True)), *_mean_and_root(self._all(False)))

    def _real(self, sums: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and root of the real images, computed again only if their sums are another tensor."""
        if self._known is None or self._known[0] is not sums:
            self._known = sums, _mean_and_root(sums)
        return self._known[1]

    def _store(self, stored: list[Tensor], features: Tensor) -> None:
        sums = _sums(features).view(1, -1)  # one row: the state is gathered over processes as rows
        stored[:] = [stored[0] + sums] if stored else [sums]

    def _count(self, rows: Tensor) -> int:
        return int(rows[:, :1].sum())

    def _length(self, rows: Tensor) -> int:
        return len(_square(rows[0])) - 1


class ClassFrechetDistance(FeatureMetric):
    """Fréchet distance within each class: the `mean` over the classes, and the `worst` class.

    A generator that generates one class badly, or confuses classes, may still have a good overall distance. The bias is
    that of the number of images in a class, so these values are above those of `FrechetDistance`. All features are
    stored: sums for each class would usually take more memory.

    Args:
        extractor: Images (n, ...) to features (n, d); None if the images are features already.
    """

    higher_is_better = False
    real_kind: ClassVar[str] = "labeled_features"
    takes_labels: ClassVar[bool] = True

    def update(self, images: Tensor, real: bool = False, labels: Tensor | None = None) -> None:
        """Add a batch of images with their labels.

        Args:
            images: Input of the extractor, (n, ...); without an extractor features (n, d).
            real: True for real images, False for generated ones.
            labels: Integers (n,).

        Raises:
            ValueError: Labels are missing or of the wrong shape, or the features have the wrong shape or are not
                finite.
        """
        labels = _require_labels(labels, len(images))
        features = self._features(images, real)
        self._store(self._stored(real), torch.cat([labels.to(features)[:, None], features], dim=1))

    def check_counts(self, generated: int, labels: Tensor | None) -> None:
        """See `FeatureMetric.check_counts`; each class needs two images."""
        super().check_counts(generated, labels)
        real = self._all(True)[:, 0].long()
        labels = _require_labels(labels, generated).to(real)
        for label in torch.cat([real, labels]).unique():
            _require_two(real=int((real == label).sum()), generated=int((labels == label).sum()), label=int(label))

    def compute(self) -> dict[str, Tensor]:
        """Scalars `mean` and `worst`, float64, and `worst_class`, int64, the label with the worst distance.

        Raises:
            ValueError: A class has fewer than two real or generated images.
        """
        real, generated = (in_order(self._all(real)) for real in (True, False))
        classes = torch.cat([real[:, 0], generated[:, 0]]).unique()
        distances = torch.stack([_class_distance(real, generated, label) for label in classes])
        worst = distances.argmax()
        return {"mean": distances.mean(), "worst": distances[worst], "worst_class": classes[worst].long()}

    def _length(self, rows: Tensor) -> int:
        return rows.shape[1] - 1


def _require_labels(labels: Tensor | None, images: int) -> Tensor:
    if labels is None or labels.shape != (images,):
        given = "none" if labels is None else str(tuple(labels.shape))
        raise ValueError(f"ClassFrechetDistance needs a label for each of {images} images, but got {given}.")
    return labels


def _require_two(real: int, generated: int, label: int) -> None:
    for which, count in {"real": real, "generated": generated}.items():
        if count < 2:
            raise ValueError(
                f"ClassFrechetDistance needs at least 2 {which} images of each class, but has {count} of class {label}."
            )


def _class_distance(real: Tensor, generated: Tensor, label: Tensor) -> Tensor:
    """Distance between the real and the generated rows (label, features) with this label."""
    sets = {"real": real[real[:, 0] == label, 1:], "generated": generated[generated[:, 0] == label, 1:]}
    _require_two(len(sets["real"]), len(sets["generated"]), int(label))
    real, generated = sets.values()
    if len(real) < real.shape[1] and len(generated) < real.shape[1]:
        return _low_rank_distance(real, generated)
    return frechet_distance(*moments(real), *moments(generated))


def _low_rank_distance(real: Tensor, generated: Tensor) -> Tensor:
    """`frechet_distance` of features (n, d) and (m, d) from a matrix (n, m) instead of (d, d), for n and m below d.

    If AᵀA and BᵀB are the covariances, tr (S_a S_b)^½ is the sum of the singular values of A Bᵀ.
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


def _mean_and_root(sums: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,), and root (d, rank) of the covariance, from rows of sums, which are added."""
    mean, covariance = _from_sums(_square(sums.sum(0)))
    return mean, _root(covariance)


def _distance(mean_a: Tensor, root_a: Tensor, mean_b: Tensor, root_b: Tensor) -> Tensor:
    """`frechet_distance` with roots of the covariances, (d, rank)."""
    fidelity = torch.linalg.svdvals(root_a.T @ root_b).sum()
    traces = root_a.square().sum() + root_b.square().sum()
    return ((mean_a - mean_b).square().sum() + traces - 2 * fidelity).clamp(min=0)


def _square(row: Tensor) -> Tensor:
    """Square matrix from its entries."""
    return row.view(math.isqrt(len(row)), -1)


def _root(covariance: Tensor) -> Tensor:
    """R (d, rank) with R Rᵀ equal to the covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    noise = (
        len(values) * torch.finfo(values.dtype).eps * values.abs().max()
    )  # bound on the rounding error of an eigenvalue
    positive = values > noise
    return vectors[:, positive] * values[positive].sqrt()
