"""Distances and kernels of all pairs of features, computed once for several metrics."""

import itertools
from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gan_lab.metrics.features import FeatureMetric, in_order

DEGREE = 3
"""Degree of the polynomial kernel."""

BLOCK = 1024
"""Rows and columns of a block of products: 8 MB, which stay in the cache of a processor."""


@dataclass(frozen=True)
class InBalls:
    """Request: which points of one set are in the balls around the points of the other set.

    A ball reaches from its center to the k-th nearest other center.

    Args:
        real: Whether the centers are the real points; else they are the generated ones.
        k: Number of the neighbor on the boundary.
        closed: Whether the boundary belongs to the ball. Distances that differ by rounding errors count as equal.
    """

    real: bool
    k: int
    closed: bool


@dataclass(frozen=True)
class KernelMeans:
    """Request: means of the polynomial kernel over pairs of different real points, of generated ones, and of both."""


Request = InBalls | KernelMeans


class Counts(NamedTuple):
    """Result of `InBalls`.

    Attributes:
        points: Whether each point is in at least one ball, bool.
        balls: Whether each ball contains at least one point, bool.
        pairs: Number of pairs of a point and a ball around it, int64 scalar.
    """

    points: Tensor
    balls: Tensor
    pairs: Tensor


class Within(NamedTuple):
    """Distances and kernel of the pairs of one set.

    Attributes:
        nearest: Squared distances of each point to its nearest others, ascending, (n, k).
        kernel: Sum of the kernel over the ordered pairs of different points; None if it was not requested.
    """

    nearest: Tensor
    kernel: Tensor | None


def pairwise(
    real: Tensor,
    generated: Tensor,
    requests: Iterable[Request],
    within_real: Within | None = None,
    block: int = BLOCK,
) -> tuple[dict[Request, Any], Within]:
    """Results of all requests, with one matrix product for each block of pairs.

    The products within a set are symmetric, so half of their blocks are computed.

    Args:
        real: (n, d), float64, n above each k.
        generated: (m, d), m above each k of requests whose centers are generated.
        requests: Equal ones are computed once.
        within_real: Second result of an earlier call with the same real points; used if it has enough neighbors.
        block: Rows and columns of a block.

    Returns:
        The results by request, and those of the real points alone.
    """
    requests = set(requests)
    kernel = KernelMeans() in requests
    inside = [request for request in requests if isinstance(request, InBalls)]
    k = {which: max((each.k for each in inside if each.real is which), default=0) for which in (True, False)}
    center = real.mean(0)  # the same distances, but smaller norms and rounding errors
    sets = {True: _Points.around(center, real), False: _Points.around(center, generated)}
    if within_real is None or within_real.nearest.shape[1] < k[True] or (kernel and within_real.kernel is None):
        within_real = _within(sets[True], k[True], kernel, block)
    within = {True: within_real, False: _within(sets[False], k[False], kernel, block)}
    balls = {each: _Balls(each, sets, within[each.real].nearest) for each in inside}
    across = _across(sets[False], sets[True], balls.values(), kernel, block)
    found: dict[Request, Any] = {each: ball.counts() for each, ball in balls.items()}
    if kernel:
        found[KernelMeans()] = (*(_mean_kernel(within[which].kernel, sets[which]) for which in (True, False)), across)
    return found, within_real


class PairwiseMetric(FeatureMetric):
    """Base of metrics of distances or kernels of all pairs of features.

    `compute_pairs` computes the pairs of several metrics together. What concerns the real features alone is kept until
    these change.

    Args:
        extractor: See `FeatureMetric`.
    """

    def __init__(self, extractor: nn.Module | None = None) -> None:
        super().__init__(extractor)
        self._results: Mapping[Request, Any] | None = None
        self._within_real: Within | None = None

    @abstractmethod
    def requests(self) -> tuple[Request, ...]:
        """What `compute` needs of the pairs."""

    def results(self) -> Mapping[Request, Any]:
        """Results of the requests.

        Raises:
            ValueError: There are fewer images than needed.
        """
        if self._results is None:
            compute_pairs([self])
        assert self._results is not None
        return self._results

    def update(self, images: Tensor, real: bool = False) -> None:
        """See `FeatureMetric.update`."""
        super().update(images, real)
        self._forget(real)

    def load_real_state(self, state: dict[str, Tensor]) -> None:
        """See `FeatureMetric.load_real_state`."""
        super().load_real_state(state)
        self._forget(real=True)

    def reset(self) -> None:
        """Reset the state."""
        super().reset()
        self._forget(real=True)

    def reset_generated(self) -> None:
        """See `FeatureMetric.reset_generated`."""
        within_real = self._within_real
        super().reset_generated()
        self._within_real = within_real

    def _forget(self, real: bool) -> None:
        self._results = None
        if real:
            self._within_real = None

    def _has_features_of(self, other: "PairwiseMetric") -> bool:
        return all(_equal(self._stored(real), other._stored(real)) for real in (True, False))


def compute_pairs(metrics: Iterable[PairwiseMetric]) -> None:
    """Compute the pairs that these metrics need, once for those with the same features.

    Raises:
        ValueError: A metric has fewer images than it needs.
    """
    groups: list[list[PairwiseMetric]] = []
    for metric in metrics:
        group = next((group for group in groups if metric._has_features_of(group[0])), None)
        if group is None:
            groups.append(group := [])
        group.append(metric)
    for group in groups:
        real, generated = (in_order(_features(group, real)) for real in (True, False))
        requests = {request for metric in group for request in metric.requests()}
        results, within_real = pairwise(real, generated, requests, group[0]._within_real)
        for metric in group:
            metric._results, metric._within_real = results, within_real


def _features(metrics: Collection[PairwiseMetric], real: bool) -> Tensor:
    """The real or generated features of metrics that have the same ones, checked to be enough for all of them."""
    strictest = max(metrics, key=lambda metric: metric.needed(real))
    return strictest._all(real)


class _Points(NamedTuple):
    """One set of points.

    Attributes:
        rows: The points minus a center, float64 (n, d).
        squares: Squared norms of the rows, (n,).
        shifts: The base of the kernel of two points is the product of their rows divided by d, plus both shifts, (n,).
    """

    rows: Tensor
    squares: Tensor
    shifts: Tensor

    @classmethod
    def around(cls, center: Tensor, points: Tensor) -> "_Points":
        rows = points - center
        return cls(rows, rows.square().sum(1), (rows @ center + center.square().sum() / 2) / len(center) + 0.5)

    def part(self, places: slice) -> "_Points":
        return _Points(*(each[places] for each in self))


class _Balls:
    """Counts of the points of one set in balls around those of the other; distances are added block by block.

    Args:
        request: The centers, and the kind of balls.
        sets: Real points under True, generated ones under False.
        nearest: Squared distances of the centers to their nearest others, (n, at least k).
    """

    def __init__(self, request: InBalls, sets: Mapping[bool, _Points], nearest: Tensor) -> None:
        centers, points = sets[request.real], sets[not request.real]
        radii = nearest[:, request.k - 1]
        # Twice the largest error of the squared distance to another point on the boundary; see `_squared_distances`.
        norms = centers.squares + (centers.squares.sqrt() + radii.sqrt()).square()
        rounding = 4 * (centers.rows.shape[1] + 2) * torch.finfo(nearest.dtype).eps * norms
        self.request = request
        self.limits = radii + rounding if request.closed else radii - rounding
        self.points = torch.zeros(len(points.rows), dtype=torch.bool, device=radii.device)
        self.balls = torch.zeros(len(centers.rows), dtype=torch.bool, device=radii.device)
        self.pairs = torch.zeros((), dtype=torch.int64, device=radii.device)

    def add(self, distances: Tensor, generated: slice, real: slice) -> None:
        """Count the pairs of generated and real points with these squared distances, (generated, real)."""
        points, centers = (generated, real) if self.request.real else (real, generated)
        distances = distances if self.request.real else distances.T
        inside = (torch.le if self.request.closed else torch.lt)(distances, self.limits[centers])
        self.points[points] |= inside.any(1)
        self.balls[centers] |= inside.any(0)
        self.pairs += torch.count_nonzero(inside)

    def counts(self) -> Counts:
        return Counts(self.points, self.balls, self.pairs)


def _within(points: _Points, k: int, kernel: bool, block: int) -> Within:
    """Nearest others of each point, and the kernel, of the pairs of one set."""
    nearest = points.rows.new_full((len(points.rows), k), torch.inf)
    total = points.rows.new_zeros(())
    places = _slices(len(points.rows), block) if k or kernel else []
    for first, second in itertools.combinations_with_replacement(places, 2):
        a, b = points.part(first), points.part(second)
        products = a.rows @ b.rows.T
        if kernel:
            total += (
                _kernel(products, a, b).sum() * 2 if first != second else _off_diagonal(_kernel(products, a, b)).sum()
            )
        if k:
            distances = _squared_distances(products, a, b)
            if first == second:
                distances.fill_diagonal_(torch.inf)
            else:
                nearest[second] = _smallest(nearest[second], distances.T)
            nearest[first] = _smallest(nearest[first], distances)
    return Within(nearest.sort(1).values.clamp(min=0), total if kernel else None)


def _across(generated: _Points, real: _Points, balls: Collection[_Balls], kernel: bool, block: int) -> Tensor:
    """Mean of the kernel over the pairs of a generated and a real point, 0 if it is not needed; fills the balls."""
    total = real.rows.new_zeros(())
    for rows in _slices(len(generated.rows), block):
        for columns in _slices(len(real.rows), block):
            a, b = generated.part(rows), real.part(columns)
            products = a.rows @ b.rows.T
            if kernel:
                total += _kernel(products, a, b).sum()
            if balls:
                distances = _squared_distances(products, a, b)
                for each in balls:
                    each.add(distances, rows, columns)
    return total / (len(generated.rows) * len(real.rows))


def _slices(count: int, block: int) -> list[slice]:
    return [slice(first, min(first + block, count)) for first in range(0, count, block)]


def _kernel(products: Tensor, a: _Points, b: _Points) -> Tensor:
    """Kernel of points, from the products of their rows."""
    base = torch.add(b.shifts, products, alpha=1 / a.rows.shape[1]).add_(a.shifts[:, None])
    return base**DEGREE


def _squared_distances(products: Tensor, a: _Points, b: _Points) -> Tensor:
    """Squared distances (n, m) from the products of rows, which are overwritten.

    This is far faster than differences, but less exact: the error is at most 2 (d + 2) eps (|a|² + |b|²).
    """
    return products.mul_(-2).add_(b.squares).add_(a.squares[:, None])


def _smallest(known: Tensor, distances: Tensor) -> Tensor:
    """The smallest values of each row of both, as many as are known, in any order."""
    k = known.shape[1]
    new = distances.topk(min(k, distances.shape[1]), dim=1, largest=False, sorted=False).values
    return torch.cat([known, new], dim=1).topk(k, dim=1, largest=False, sorted=False).values


def _off_diagonal(kernel: Tensor) -> Tensor:
    return kernel.fill_diagonal_(0)


def _mean_kernel(total: Tensor | None, points: _Points) -> Tensor:
    """Mean over the ordered pairs of different points."""
    assert total is not None
    return total / (len(points.rows) * (len(points.rows) - 1))


def _equal(a: list[Tensor], b: list[Tensor]) -> bool:
    """Whether two lists of chunks are equal; fast for the same objects."""
    return len(a) == len(b) and all(x is y or torch.equal(x, y) for x, y in zip(a, b, strict=True))
