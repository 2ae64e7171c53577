"""Fidelity and diversity from nearest neighbors: precision and recall, density and coverage."""

from torch import Tensor, nn

from gan_lab.metrics.features import Protocol, require
from gan_lab.metrics.pairwise import BLOCK, Counts, InBalls, PairwiseMetric, pairwise


def precision_recall(real: Tensor, generated: Tensor, k: int = 3, block: int = BLOCK) -> tuple[Tensor, Tensor]:
    """Improved precision and recall (Kynkäänniemi et al., 2019).

    Precision is the fraction of generated points in at least one ball that reaches from a real point to its k-th
    neighbor, boundary included. Recall is the fraction of real points in the balls of the generated points.

    Args:
        real: (n, d), float64, n above k.
        generated: (m, d), m above k.
        k: Number of the neighbor whose distance is the radius.
        block: Rows and columns of distances in memory at once.

    Returns:
        Two float64 scalars in [0, 1].
    """
    results, _ = pairwise(real, generated, _precision_recall_requests(k), block=block)
    return _precision_recall(*(results[each] for each in _precision_recall_requests(k)))


def density_coverage(real: Tensor, generated: Tensor, k: int = 5, block: int = BLOCK) -> tuple[Tensor, Tensor]:
    """Density and coverage (Naeem et al., 2020).

    Density is the mean number of real points' balls that contain a generated point, divided by k; outliers among the
    real points change it little, and it may be above 1. Coverage is the fraction of real points whose ball contains a
    generated point. Unlike in `precision_recall`, the boundary does not belong to a ball.

    Args:
        real: (n, d), float64, n above k.
        generated: (m, d), m at least 1.
        k: Number of the neighbor whose distance is the radius.
        block: Rows and columns of distances in memory at once.

    Returns:
        Two float64 scalars.
    """
    request = _density_request(k)
    return _density_coverage(pairwise(real, generated, [request], block=block)[0][request], k)


class PrecisionRecall(PairwiseMetric):
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
        results = self.results()
        precision, recall = _precision_recall(*(results[each] for each in self.requests()))
        return {"precision": precision, "recall": recall}

    def needed(self, real: bool) -> int:
        """See `FeatureMetric.needed`."""
        return self.k + 1

    def requests(self) -> tuple[InBalls, InBalls]:
        """See `PairwiseMetric.requests`."""
        return _precision_recall_requests(self.k)

    @property
    def protocol(self) -> Protocol:
        return super().protocol | {"k": self.k}


class DensityCoverage(PairwiseMetric):
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
        density, coverage = _density_coverage(self.results()[_density_request(self.k)], self.k)
        return {"density": density, "coverage": coverage}

    def needed(self, real: bool) -> int:
        """See `FeatureMetric.needed`."""
        return self.k + 1 if real else 1

    def requests(self) -> tuple[InBalls]:
        """See `PairwiseMetric.requests`."""
        return (_density_request(self.k),)

    @property
    def protocol(self) -> Protocol:
        return super().protocol | {"k": self.k}


def _precision_recall_requests(k: int) -> tuple[InBalls, InBalls]:
    return InBalls(real=True, k=k, closed=True), InBalls(real=False, k=k, closed=True)


def _density_request(k: int) -> InBalls:
    return InBalls(real=True, k=k, closed=False)


def _precision_recall(in_real: Counts, in_generated: Counts) -> tuple[Tensor, Tensor]:
    """Precision and recall from the counts in the balls of the real and of the generated points."""
    return in_real.points.double().mean(), in_generated.points.double().mean()


def _density_coverage(in_real: Counts, k: int) -> tuple[Tensor, Tensor]:
    return in_real.pairs.double() / (k * len(in_real.points)), in_real.balls.double().mean()
