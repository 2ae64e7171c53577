"""Precision and recall as a curve, over clusters of the features."""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor, nn

from gan_lab.metrics.features import FeatureMetric, Protocol, in_order, require
from gan_lab.noise import mix

ANGLES = 1001
"""Points of a curve."""

BETA = 8
"""How many times as much recall counts as precision in F_8, and the other way round in F_1/8."""

_EPS = 1e-10  # keeps the angles away from the axes, and F from 0 / 0
_STARTS = 10  # of k-means in each run, of which the best counts


class Curve(NamedTuple):
    """Pairs of precision and recall, each float64 (ANGLES,) in [0, 1], from all recall to all precision."""

    precision: Tensor
    recall: Tensor


def prd_curve(real: Tensor, generated: Tensor) -> Curve:
    """Precision and recall of one distribution over k states with respect to another (Sajjadi et al., 2018).

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


def largest_f(curve: Curve, beta: float) -> Tensor:
    """The largest F_beta = (1 + beta²) precision recall / (beta² precision + recall) on a curve, a scalar.

    A beta above 1 counts recall beta times as much as precision.
    """
    precision, recall = curve
    return ((1 + beta**2) * precision * recall / (beta**2 * precision + recall + _EPS)).max()


def cluster_shares(
    real: Tensor, generated: Tensor, clusters: int, seeds: Iterable[int]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Shares of either set in clusters that mini-batch k-means finds among both, once for each seed.

    Args:
        real: Features (n, d), float64.
        generated: Features (m, d).
        clusters: How many.
        seeds: Of k-means, which is else a function of the union of both sets only: not of their order or roles.

    Yields:
        Two distributions, float64 (clusters,) on the CPU.
    """
    union = in_order(torch.cat([real, generated])).cpu().numpy()
    sets = [features.cpu().numpy() for features in (real, generated)]
    for seed in seeds:
        kmeans = MiniBatchKMeans(clusters, n_init=_STARTS, random_state=seed % 2**32).fit(union)
        counts = (np.bincount(kmeans.predict(features), minlength=clusters) for features in sets)
        of_real, of_generated = (torch.from_numpy(count / count.sum()) for count in counts)
        yield of_real, of_generated


class PrecisionRecallCurve(FeatureMetric):
    """The summary (F_8, F_1/8) of the precision and recall curve of generated images (Sajjadi et al., 2018).

    The features of both sets are clustered together, several times; each time gives a curve by how both sets are spread
    over the clusters, and the mean curve counts. `curve` gives it for a chart.

    Args:
        extractor: Images (n, ...) to features (n, d); None where the images are features already.
        clusters: Clusters of k-means.
        runs: Clusterings whose curves are averaged.
        seed: What the clusterings are a function of, together with the features.

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
        """`f8`, high with all of the real variety, and `f_eighth`, high with none but good images; scalars in [0, 1].

        Raises:
            ValueError: There are not as many real as generated images, or fewer than clusters.
        """
        curve = self.curve()
        return {"f8": largest_f(curve, BETA), "f_eighth": largest_f(curve, 1 / BETA)}

    def curve(self) -> Curve:
        """The mean curve of the images that this process has.

        Raises:
            ValueError: There are not as many real as generated images, or fewer than clusters.
        """
        real, generated = (in_order(self._all(real, needed=self.clusters)) for real in (True, False))
        if len(real) != len(generated):
            raise ValueError(
                f"PrecisionRecallCurve needs as many generated as real images, but has {len(generated)} generated and "
                f"{len(real)} real ones."
            )
        seeds = (mix(self.seed, run) for run in range(self.runs))
        curves = [prd_curve(*pair) for pair in cluster_shares(real, generated, self.clusters, seeds)]
        return Curve(*(torch.stack(parts).mean(0) for parts in zip(*curves, strict=True)))

    @property
    def protocol(self) -> Protocol:
        return super().protocol | {"clusters": self.clusters, "runs": self.runs, "clusters_seed": self.seed}
