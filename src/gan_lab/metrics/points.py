"""How well points follow a mixture of Gaussians whose density is known."""

import math
from abc import abstractmethod
from typing import Protocol

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from gan_lab.errors import ConfigError
from gan_lab.metrics.histograms import cell_counts, cell_edges, kl_divergence, smoothed, wasserstein_1, with_rest
from gan_lab.noise import Noise, mix

Values = dict[str, Tensor]
"""Scalars by name."""

FLOOR_DRAWS = 5
"""Perfect samples whose mean value is the floor of a metric."""

_FLOOR = 0x464C4F4F52
"""Sets the draws of floors apart from the points that a metric compares with; any number will do."""

OUTSIDE = 1e-3
"""Largest share of a mixture that a histogram may miss."""


class Mixture(Protocol):
    """Equally likely Gaussians in the plane with one standard deviation; see `gan_lab.data.mixtures.GaussianMixture`."""

    @property
    def centres(self) -> tuple[tuple[float, float], ...]: ...

    @property
    def std(self) -> float: ...

    @property
    def modes(self) -> int: ...

    def sample(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """Points (n, 2) and their modes (n,)."""

    def cell_probabilities(self, edges_x: Tensor, edges_y: Tensor) -> Tensor:
        """Probabilities (a, b) of the cells between edges (a + 1,) and (b + 1,), indexed [x, y]."""


class PointMetric(Metric):
    """Generated points against a known mixture. `update` takes points (n, 2).

    Args:
        mixture: What the points should follow; None, for data without a known density, is refused.

    Raises:
        ConfigError: There is no mixture.
    """

    is_differentiable = False
    full_state_update = False
    seen: Tensor

    def __init__(self, mixture: Mixture) -> None:
        super().__init__()
        if mixture is None:
            raise ConfigError(
                "metrics=points needs points whose density is known: choose a dataset with a mixture, such as "
                "dataset=ring or grid, or metrics=[]."
            )
        self.mixture = mixture
        self.add_state("seen", torch.tensor(0), "sum")
        self._floors: dict[int, Values] = {}

    @property
    @abstractmethod
    def protocol(self) -> dict[str, float]:
        """The numbers on which the value depends beside the points: to be printed with it."""

    @abstractmethod
    def compute(self) -> Values:
        """The values for all points since the last reset, float64 or int64 scalars."""

    def floor(self) -> Values:
        """What as many points of the mixture itself would get: the mean over a few draws, computed once for each number."""
        size = int(self.seen)
        if size not in self._floors:
            draws = [self._of_the_truth(size, draw) for draw in range(FLOOR_DRAWS)]
            self._floors[size] = {key: torch.stack([draw[key].double() for draw in draws]).mean() for key in draws[0]}
        return self._floors[size]

    def _of_the_truth(self, size: int, draw: int) -> Values:
        perfect = self.clone()
        perfect.distributed_available_fn = _never  # every process draws the same
        perfect.reset()
        perfect.update(self.mixture.sample(Noise(mix(_FLOOR, draw), size))[0].to(self.device))
        return perfect.compute()


def _never() -> bool:
    return False


class ModeCoverage(PointMetric):
    """Modes found and share of good points, the counts of VEEGAN (Srivastava et al., 2017) and PacGAN (Lin et al., 2018).

    A point is of high quality if it lies within `radius_stds` standard deviations of the nearest mode, and a mode is found
    if it is the nearest to at least one such point. Values: `modes`, a whole number; `high_quality`, in [0, 1].

    Args:
        mixture: What the points should follow.
        radius_stds: Largest distance of a good point from its mode, in standard deviations; 3 in the papers.

    Raises:
        ConfigError: The radius is not above 0, or there is no mixture.
    """

    higher_is_better = True
    centres: Tensor
    hits: Tensor

    def __init__(self, mixture: Mixture, radius_stds: float = 3.0) -> None:
        super().__init__(mixture)
        _require(radius_stds > 0, f"radius_stds={radius_stds}", "greater than 0")
        self.radius_stds = radius_stds
        self.register_buffer("centres", torch.tensor(mixture.centres, dtype=torch.float64), persistent=False)
        self.add_state("hits", torch.zeros(mixture.modes, dtype=torch.int64), "sum")

    def update(self, points: Tensor) -> None:
        """Count points (n, 2)."""
        offsets = points.double()[:, None] - self.centres  # (n, modes, 2)
        distance, nearest = offsets.square().sum(2).sqrt().min(1)  # (n,)
        good = distance <= self.radius_stds * self.mixture.std
        self.hits += torch.bincount(nearest[good], minlength=self.mixture.modes)
        self.seen += len(points)

    def compute(self) -> Values:
        """`modes` and `high_quality`, NaN without points."""
        return {"modes": (self.hits > 0).sum(), "high_quality": self.hits.sum() / self.seen.double()}

    @property
    def protocol(self) -> dict[str, float]:
        return {"radius_stds": self.radius_stds}


class HistogramDivergence(PointMetric):
    """Divergences between the histogram of the points and the exact probabilities of its cells, in nats.

    D2GAN (Nguyen et al., 2017, figure 2) plots the symmetric divergence and states neither cells nor smoothing: here they
    are settings, and the value depends on them, on `eps` most of all where modes are missing. What lies outside the square
    is one more cell, so that points that fly away count. Values: `forward`, KL(mixture || points), which missing modes make
    large; `reverse`, KL(points || mixture), which points between the modes make large; `symmetric`, their sum.

    Args:
        mixture: What the points should follow.
        bins: Cells along each axis.
        extent: Half the side of the square around the origin that the cells fill.
        eps: Added to the probability of every cell, on both sides, before they are normalized again.

    Raises:
        ConfigError: A number is out of range, the square misses a part of the mixture, or there is no mixture.
    """

    higher_is_better = False
    counts: Tensor
    expected: Tensor

    def __init__(self, mixture: Mixture, bins: int = 50, extent: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__(mixture)
        _require(bins >= 1, f"bins={bins}", "at least 1")
        _require(extent > 0, f"extent={extent}", "greater than 0")
        _require(eps >= 0, f"eps={eps}", "at least 0")
        self.bins, self.extent, self.eps = bins, extent, eps
        edges = cell_edges(bins, extent)
        expected = with_rest(mixture.cell_probabilities(edges, edges))
        if expected[-1] > OUTSIDE:
            enough = max(abs(x) for centre in mixture.centres for x in centre) + 4 * mixture.std
            raise ConfigError(
                f"extent={extent} leaves {expected[-1]:.1%} of the mixture outside the histogram: "
                f"choose at least {math.ceil(10 * enough) / 10}."
            )
        self.register_buffer("expected", expected, persistent=False)
        self.add_state("counts", torch.zeros(bins**2 + 1, dtype=torch.int64), "sum")

    def update(self, points: Tensor) -> None:
        """Count points (n, 2)."""
        self.counts += cell_counts(points, self.bins, self.extent)
        self.seen += len(points)

    def compute(self) -> Values:
        """`symmetric`, `forward` and `reverse`, NaN without points."""
        p, q = smoothed(self.expected, self.eps), smoothed(self.counts, self.eps)
        forward, reverse = kl_divergence(p, q), kl_divergence(q, p)
        return {"symmetric": forward + reverse, "forward": forward, "reverse": reverse}

    @property
    def protocol(self) -> dict[str, float]:
        return {"bins": self.bins, "extent": self.extent, "eps": self.eps}


class Wasserstein(PointMetric):
    """Wasserstein-1 distance between a number of generated points and as many of the mixture, by exact assignment.

    The first `points` points count; over several processes those of the first process come first. Even for a perfect
    sampler the distance of two samples is above 0, and modes that one sample met more often than the other make up most of
    it: compare with the floor. Value: `distance`, in the units of the coordinates.

    Args:
        mixture: What the points should follow.
        points: Points on either side; the time grows with their third power, and 1000 take a fraction of a second.
        seed: Key of the points of the mixture.

    Raises:
        ConfigError: The number of points is below 1, or there is no mixture.
    """

    higher_is_better = False
    kept: list[Tensor]  # becomes one tensor where processes are joined

    def __init__(self, mixture: Mixture, points: int = 1000, seed: int = 0) -> None:
        super().__init__(mixture)
        _require(points >= 1, f"points={points}", "at least 1")
        self.points, self.seed = points, seed
        self.add_state("kept", [], "cat")

    def update(self, points: Tensor) -> None:
        """Keep of points (n, 2) as many as are still wanted."""
        room = self.points - sum(len(part) for part in self.kept)
        self.kept.append(points[: max(room, 0)].double())
        self.seen += len(points)

    def compute(self) -> Values:
        """`distance`, NaN without points or where one is not finite."""
        generated = dim_zero_cat(self.kept)[: self.points]
        truth, _ = self.mixture.sample(Noise(mix(self.seed), len(generated)))
        return {"distance": wasserstein_1(generated, truth)}

    @property
    def protocol(self) -> dict[str, float]:
        return {"points": self.points, "true_points_seed": self.seed}


def _require(holds: bool, given: str, allowed: str) -> None:
    if not holds:
        raise ConfigError(f"evaluation.metrics: {given} is not allowed: it must be {allowed}.")
