"""The metrics of features from their formulas, in NumPy, SciPy, scikit-learn and prdc."""

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from prdc import compute_prdc
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import KNeighborsClassifier

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


def frechet_distance(real: Array, generated: Array) -> float:
    """|difference of the means|² + tr(S + T - 2 (S T)^½), as in Heusel et al. (2017)."""
    of_real, of_generated = (np.cov(rows, rowvar=False) for rows in (real, generated))
    root = scipy.linalg.sqrtm(of_real @ of_generated).real
    shift = real.mean(0) - generated.mean(0)
    return float(shift @ shift + np.trace(of_real + of_generated - 2 * root))


def class_frechet_distance(real: Array, generated: Array, labels: Labels) -> dict[str, float]:
    distances = [frechet_distance(real[labels == label], generated[labels == label]) for label in np.unique(labels)]
    return {"mean": np.mean(distances), "worst": max(distances), "worst_class": np.argmax(distances)}


def kernel_distance(real: Array, generated: Array) -> float:
    """Unbiased squared MMD with (x·y / d + 1)³, as in Bińkowski et al. (2018), over all pairs."""

    def mean_of_others(rows: Array) -> float:
        kernel = polynomial_kernel(rows, degree=3, coef0=1)
        return (kernel.sum() - np.trace(kernel)) / (len(rows) * (len(rows) - 1))

    between = polynomial_kernel(real, generated, degree=3, coef0=1).mean()
    return float(mean_of_others(real) + mean_of_others(generated) - 2 * between)


def neighborhoods(real: Array, generated: Array, k: int) -> dict[str, float]:
    """Precision, recall, density and coverage by the package of Naeem et al. (2020)."""
    return compute_prdc(real, generated, nearest_k=k)


def f_scores(real: Array, generated: Array) -> dict[str, float]:
    """F_8 and F_1/8 of the precision-recall curve of two histograms, as in Sajjadi et al. (2018)."""
    slopes = np.tan(np.linspace(1e-10, np.pi / 2 - 1e-10, 1001))[:, None]
    precision = np.minimum(slopes * real, generated).sum(1)
    recall = precision / slopes[:, 0]

    def largest(beta: float) -> float:
        return np.max((1 + beta**2) * precision * recall / (beta**2 * precision + recall + 1e-10))

    return {"f8": largest(8), "f_eighth": largest(1 / 8)}


def diversity(rows: Array) -> float:
    """Mean distance of all pairs of rows on the unit sphere."""
    return float(pdist(rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean())


def distances_of_pairs(rows: Array, targets: Array) -> dict[str, float]:
    cosines = np.diag(cdist(rows, targets, "cosine"))
    return {"cosine": cosines.mean(), "squared": np.mean((rows - targets) ** 2)}


def nearest_neighbor_accuracy(rows: Array, labels: Labels, queries: Array, wanted: Labels) -> float:
    return float(KNeighborsClassifier(1).fit(rows, labels).score(queries, wanted))


def sliced_distance(real: Array, generated: Array, directions: Array) -> float:
    """Mean over directions of the Wasserstein-1 distance of projections, in which sorted points are pairs."""
    return float(np.abs(np.sort(real @ directions, 0) - np.sort(generated @ directions, 0)).mean())
