"""Precision-recall curves of distributions (PRD) over clusters of features."""

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from gan_lab.metrics.features import FeatureMetric, Protocol, in_order, require
from gan_lab.noise import mix

ANGLES = 1001
"""Points of a curve."""

BETA = 8
"""The beta of F_beta: F_8 weighs recall 8 times as much as precision, F_1/8 the reverse."""

_EPS = 1e-10  # keeps the angles away from the axes, and F from 0 / 0
_STARTS = 10  # initializations of k-means in each run; the best is used


class Curve(NamedTuple):
    """Precision-recall curve, each float64 (ANGLES,) in [0, 1], in the order of the slopes in `prd_curve`."""

    precision: Tensor
    recall: Tensor


def prd_curve(real: Tensor, generated: Tensor) -> Curve:
    """Precision and recall of a discrete distribution with respect to another one (Sajjadi et al., 2018).

    For slopes l = tan(angle), precision is the sum of min(l p, q) over the states, and recall is precision / l.

    Args:
        real: Probabilities p, float64 (k,).
        generated: Probabilities q, (k,).
    """
    angles = torch.linspace(_EPS, math.pi / 2 - _EPS, ANGLES, dtype=torch.float64, device=real.device)
    slopes = angles.tan()[:, None]  # (ANGLES, 1)
    precision = torch.minimum(slopes * real, generated).sum(1)
    recall = torch.minimum(real, generated / slopes).sum(1)
    return Curve(precision.clamp(0, 1), recall.clamp(0, 1))


def max_f_score(curve: Curve, beta: float) -> Tensor:
    """Largest F_beta = (1 + beta²) precision recall / (beta² precision + recall) on a curve, a scalar.

    A beta above 1 weighs recall beta times as much as precision.
    """
    precision, recall = curve
    return ((1 + beta**2) * precision * recall / (beta**2 * precision + recall + _EPS)).max()


def cluster_fractions(
    real: Tensor, generated: Tensor, clusters: int, seeds: Iterable[int]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Fractions of both sets in the clusters that mini-batch k-means finds in their union, for each seed.

    The runs of k-means are independent and use one thread each.

    Args:
        real: Features (n, d), float64.
        generated: Features (m, d).
        clusters: Number of clusters.
        seeds: Seeds of k-means, which otherwise depends only on the union of both sets, not on their order or roles.

    Yields:
        Two distributions, float64 (clusters,) on the CPU.
    """
    union = in_order(torch.cat([real, generated])).cpu().numpy()
    sets = [features.cpu().numpy() for features in (real, generated)]

    def fractions(seed: int) -> tuple[Tensor, Tensor]:
        kmeans = MiniBatchKMeans(clusters, n_init=_STARTS, random_state=seed % 2**32).fit(union)
        counts = (np.bincount(kmeans.predict(features), minlength=clusters) for features in sets)
        of_real, of_generated = (torch.from_numpy(count / count.sum()) for count in counts)
        return of_real, of_generated

    # A thread for each seed: threads within k-means wait for each other longer than they compute.
    with (
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(torch.get_num_threads(), initializer=threadpool_limits, initargs=(1, "openmp")) as pool,
    ):
        yield from pool.map(fractions, seeds)


def _require_equal(real: int, generated: int) -> None:
    if real != generated:
        raise ValueError(
            "PrecisionRecallCurve needs equal numbers of generated and real images, but has "
            f"{generated} generated and {real} real ones."
        )


class PrecisionRecallCurve(FeatureMetric):
    """Summary (F_8, F_1/8) of the precision-recall curve of generated images (Sajjadi et al., 2018).

    The union of both sets is clustered several times. Each clustering gives a curve from the fractions of both sets in
    the clusters; the curves are averaged. `curve` returns the mean curve, for a chart.

    Args:
        extractor: Images (n, ...) to features (n, d); None if the images are features already.
        clusters: Clusters of k-means.
        runs: Clusterings whose curves are averaged.
        seed: Determines the clusterings, together with the features.

    Raises:
        ValueError: A number is below 1.
    """

    higher_is_better = True

    def __init__(self, extractor: nn.Module | None = None, clusters: int = 20, runs: int = 10, seed: int = 0) -> None:
        super().__init__(extractor)
        require(clusters >= 1, f"clusters={clusters}", "at least 1")
        require(runs >= 1, f"runs={runs}", "at least 1")
        self.clusters, self.runs, self.seed = clusters, runs, seed

    def compute(self) -> dict[str, Tensor]:
        """Scalars `f8`, high with good recall, and `f_eighth`, high with good precision, in [0, 1].

        Raises:
            ValueError: The numbers of real and generated images differ, or are below the number of clusters.
        """
        curve = self.curve()
        return {"f8": max_f_score(curve, BETA), "f_eighth": max_f_score(curve, 1 / BETA)}

    def needed(self, real: bool) -> int:
        """See `FeatureMetric.needed`."""
        return self.clusters

    def check_counts(self, generated: int, labels: Tensor | None) -> None:
        """See `FeatureMetric.check_counts`; the two numbers must be equal."""
        super().check_counts(generated, labels)
        _require_equal(len(self._all(real=True)), generated)

    def curve(self) -> Curve:
        """Mean curve of this process's images.

        Raises:
            ValueError: The numbers of real and generated images differ, or are below the number of clusters.
        """
        real, generated = (in_order(self._all(real)) for real in (True, False))
        _require_equal(len(real), len(generated))
        seeds = (mix(self.seed, run) for run in range(self.runs))
        curves = [prd_curve(*pair) for pair in cluster_fractions(real, generated, self.clusters, seeds)]
        return Curve(*(torch.stack(parts).mean(0) for parts in zip(*curves, strict=True)))

    @property
    def protocol(self) -> Protocol:
        return super().protocol | {"clusters": self.clusters, "runs": self.runs, "clusters_seed": self.seed}
