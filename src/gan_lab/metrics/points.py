"""Metrics of 2-D points against a mixture of Gaussians with known density."""

import math
from abc import abstractmethod
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from gan_lab.errors import ConfigError
from gan_lab.metrics.histograms import cell_counts, cell_edges, kl_divergence, smoothed, wasserstein_1, with_rest
from gan_lab.noise import Noise, mix

Values = dict[str, Tensor]
"""Scalars by name."""

IDEAL_DRAWS = 5
"""Perfect samples over which the ideal value of a metric is averaged."""

_IDEAL_KEY = 0x464C4F4F52
"""Random key of those samples, so that they differ from the points that a metric compares with; arbitrary."""

MAX_OUTSIDE_FRACTION = 1e-3
"""Largest probability mass of a mixture that may lie outside a histogram."""


class Mixture(Protocol):
    """2-D Gaussians with one standard deviation; see `gan_lab.data.mixtures.GaussianMixture`."""

    @property
    def centers(self) -> tuple[tuple[float, float], ...]: ...

    @property
    def std(self) -> float: ...

    @property
    def modes(self) -> int: ...

    @property
    def weights(self) -> Tensor:
        """Probability of each mode, (modes,)."""

    def sample(self, noise: Noise) -> tuple[Tensor, Tensor]:
        """Points (n, 2) and their modes (n,)."""

    def cell_probabilities(self, edges_x: Tensor, edges_y: Tensor) -> Tensor:
        """Probabilities (a, b) of the cells between edges (a + 1,) and (b + 1,), indexed [x, y]."""


class PointMetric(Metric):
    """Base of metrics that compare generated points with a known mixture. `update` takes points (n, 2).

    Args:
        mixture: Target distribution. None, for data without a known density, raises the error.

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
                "metrics=points needs points with a known density: choose a dataset with a mixture, such as "
                "dataset=ring or grid, or metrics=[]."
            )
        self.mixture = mixture
        self.add_state("seen", torch.tensor(0), "sum")
        self._ideal_values: dict[int, Values] = {}

    @property
    @abstractmethod
    def protocol(self) -> dict[str, float]:
        """Settings that the value depends on, to be reported with it."""

    @abstractmethod
    def compute(self) -> Values:
        """Values for all points since the last reset, float64 or int64 scalars."""

    def ideal_values(self) -> Values:
        """Mean values of `IDEAL_DRAWS` samples of the mixture with the same number of points, cached by number."""
        size = int(self.seen)
        if size not in self._ideal_values:
            draws = [self._perfect_values(size, draw) for draw in range(IDEAL_DRAWS)]
            self._ideal_values[size] = {
                key: torch.stack([draw[key].double() for draw in draws]).mean() for key in draws[0]
            }
        return self._ideal_values[size]

    def _perfect_values(self, size: int, draw: int) -> Values:
        perfect = self.clone()
        perfect.distributed_available_fn = _not_distributed  # every process draws the same points
        perfect.reset()
        perfect.update(self.mixture.sample(Noise(mix(_IDEAL_KEY, draw), size))[0].to(self.device))
        return perfect.compute()


def _not_distributed() -> bool:
    return False


class ModeCoverage(PointMetric):
    """Number of modes found, fraction of high-quality points, and how evenly these are distributed over the modes.

    As in VEEGAN (Srivastava et al., 2017) and PacGAN (Lin et al., 2018), a point is of high quality if it lies within
    `radius_stds` standard deviations of the nearest mode; a mode is found if it is the nearest mode of at least one
    such point. Values: `modes`, an integer; `high_quality`, in [0, 1]; `reverse_kl`, KL(high-quality points per mode
    || weights of the modes) in nats, 0 for a perfect sampler and log of the number of modes for one mode (PacGAN).

    Args:
        mixture: Target distribution.
        radius_stds: Largest distance of a high-quality point from its mode, in standard deviations; 3 in the papers.

    Raises:
        ConfigError: The radius is not above 0, or there is no mixture.
    """

    higher_is_better = True
    lower_is_better: ClassVar[tuple[str, ...]] = ("reverse_kl",)
    centers: Tensor
    counts_per_mode: Tensor

    def __init__(self, mixture: Mixture, radius_stds: float = 3.0) -> None:
        super().__init__(mixture)
        _require(radius_stds > 0, f"radius_stds={radius_stds}", "greater than 0")
        self.radius_stds = radius_stds
        self.register_buffer("centers", torch.tensor(mixture.centers, dtype=torch.float64), persistent=False)
        self.add_state("counts_per_mode", torch.zeros(mixture.modes, dtype=torch.int64), "sum")

    def update(self, points: Tensor) -> None:
        """Count points (n, 2)."""
        offsets = points.double()[:, None] - self.centers  # (n, modes, 2)
        distance, nearest = offsets.square().sum(2).sqrt().min(1)  # (n,)
        good = distance <= self.radius_stds * self.mixture.std
        self.counts_per_mode += torch.bincount(nearest[good], minlength=self.mixture.modes)
        self.seen += len(points)

    def compute(self) -> Values:
        """`modes`, `high_quality` and `reverse_kl`; the latter two are NaN without points, and without good ones."""
        good = self.counts_per_mode.sum()
        fractions = self.counts_per_mode / good.double()
        return {
            "modes": (self.counts_per_mode > 0).sum(),
            "high_quality": good / self.seen.double(),
            "reverse_kl": kl_divergence(fractions, self.mixture.weights.to(fractions)),
        }

    @property
    def protocol(self) -> dict[str, float]:
        return {"radius_stds": self.radius_stds}


class HistogramDivergence(PointMetric):
    """Divergences between the histogram of the points and the exact probabilities of its cells, in nats.

    D2GAN (Nguyen et al., 2017, figure 2) plots the symmetric divergence and states neither cells nor smoothing: here
    they are settings. The value depends on them, and most on `eps` if modes are missing. The outside of the square is
    one more cell, so that distant points count. Values: `forward`, KL(mixture || points), large if modes are missing;
    `reverse`, KL(points || mixture), large if points lie between the modes; `symmetric`, their sum.

    Args:
        mixture: Target distribution.
        bins: Cells along each axis.
        extent: Half the width of the square around the origin that the cells fill.
        eps: Added to the probability of every cell, in both histograms, before they are normalized again.

    Raises:
        ConfigError: A number is out of range, too much of the mixture lies outside the square, or there is no mixture.
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
        if expected[-1] > MAX_OUTSIDE_FRACTION:
            enough = max(abs(x) for center in mixture.centers for x in center) + 4 * mixture.std
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
    """Wasserstein-1 distance between generated points and equally many points of the mixture, by exact assignment.

    Only the first `points` points are used, starting with those of the first process. Even for a perfect sampler the
    distance is above 0, mostly because the two samples have different counts per mode: compare with the ideal value.
    Value: `distance`, in the units of the coordinates.

    Args:
        mixture: Target distribution.
        points: Points of either set; the time is cubic in it, and 1000 points take a fraction of a second.
        seed: Seed of the mixture's points.

    Raises:
        ConfigError: The number of points is below 1, or there is no mixture.
    """

    higher_is_better = False
    kept: list[Tensor]  # becomes one tensor when processes are synchronized

    def __init__(self, mixture: Mixture, points: int = 1000, seed: int = 0) -> None:
        super().__init__(mixture)
        _require(points >= 1, f"points={points}", "at least 1")
        self.points, self.seed = points, seed
        self.add_state("kept", [], "cat")

    def update(self, points: Tensor) -> None:
        """Store points (n, 2), up to `points` in total."""
        room = self.points - sum(len(part) for part in self.kept)
        self.kept.append(points[: max(room, 0)].double())
        self.seen += len(points)

    def compute(self) -> Values:
        """`distance`; NaN without points, or if one is not finite."""
        generated = dim_zero_cat(self.kept)[: self.points]
        truth, _ = self.mixture.sample(Noise(mix(self.seed), len(generated)))
        return {"distance": wasserstein_1(generated, truth)}

    @property
    def protocol(self) -> dict[str, float]:
        return {"points": self.points, "true_points_seed": self.seed}


def _require(holds: bool, given: str, allowed: str) -> None:
    if not holds:
        raise ConfigError(f"evaluation.metrics: {given} is not allowed: it must be {allowed}.")
