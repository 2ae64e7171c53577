"""Metrics of pairs: the same numbers as alone, and one product for each pair."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchmetrics import Metric

from gan_lab.metrics.kernel import KernelDistance
from gan_lab.metrics.measuring import measure
from gan_lab.metrics.neighbors import DensityCoverage, PrecisionRecall
from gan_lab.metrics.pairwise import InBalls, KernelMeans, pairwise

SIZE, REALS, GENERATEDS = 8, 300, 200
SQUARE = 2 * SIZE * 100 * 100  # operations of the products of 100 with 100 points


def normal(count: int, seed: int) -> Tensor:
    return torch.randn(count, SIZE, generator=torch.Generator().manual_seed(seed))


class Features(nn.Module):
    """An extractor of features for images that are features already, of which it makes new tensors."""

    def forward(self, images: Tensor) -> Tensor:
        return images.double()


def metrics(factor: float = 1.0) -> dict[str, Metric]:
    found = {
        "kd": KernelDistance(Features(), blocks=2),
        "pr": PrecisionRecall(Features(), k=3),
        "dc": DensityCoverage(Features(), k=5),
    }
    for metric in found.values():
        metric.update(factor * normal(REALS, seed=0), real=True)
    return found


def generated(seed: int = 1) -> list[tuple[Tensor, None]]:
    return [(0.8 * part + 0.2, None) for part in normal(GENERATEDS, seed).split(150)]


def test_values_are_those_of_each_metric_alone() -> None:
    together = measure(metrics(), generated())
    for name, metric in metrics().items():
        assert measure({name: metric}, generated())[name] == pytest.approx(together[name], rel=1e-12)
    other = metrics()["pr"]
    other.reset()
    other.update(normal(REALS, seed=7), real=True)
    mixed = measure({**metrics(), "other": other}, generated())
    assert mixed["dc"] == together["dc"] and mixed["other"] != mixed["pr"]


def operations(call: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / SQUARE


def test_products_are_computed_once_for_all_metrics() -> None:
    """Of 300 real and 200 generated points: 9 squares within the real ones, 4 and 6; later only 4 and 6."""
    found = metrics()
    del found["kd"]  # the blocks of its standard error are extra
    assert operations(lambda: measure(found, generated())) == pytest.approx(9 + 4 + 6, rel=0.02)
    assert operations(lambda: measure(found, generated(seed=2))) == pytest.approx(4 + 6, rel=0.02)
    fresh = measure({name: metrics()[name] for name in found}, generated(seed=2))
    assert measure(found, generated(seed=2)) == fresh


@pytest.mark.parametrize("change", ["update", "load"])
def test_other_real_points_are_not_answered_from_the_old_ones(change: str) -> None:
    found = metrics()
    measure(found, generated())
    for name, metric in found.items():
        other = metrics(factor=1.5)[name]
        if change == "load":
            metric.load_real_state(other.real_state())
        else:
            metric.reset()
            metric.update(1.5 * normal(REALS, seed=0), real=True)
    assert measure(found, generated()) == measure(metrics(factor=1.5), generated())


def test_products_within_a_set_are_symmetric() -> None:
    """21 of 36 blocks of 50 points within 300 points; the requests need no pairs within the others."""
    points, others = normal(300, 0).double(), normal(100, 1).double()
    found = operations(lambda: pairwise(points, others, [InBalls(real=True, k=3, closed=True)], block=50))
    assert found == pytest.approx(21 / 4 + 3, rel=0.02)


@pytest.mark.parametrize("block", [7, 64])
def test_blocks_do_not_change_the_values(block: int) -> None:
    sets = normal(60, 0).double(), 1.2 * normal(45, 1).double()
    requests = [InBalls(True, 5, False), InBalls(True, 3, True), InBalls(False, 2, True), KernelMeans()]
    expected, _ = pairwise(*sets, requests)
    found, within = pairwise(*sets, requests, block=block)
    for request in requests[:3]:
        assert all(map(torch.equal, found[request], expected[request]))
    torch.testing.assert_close(found[requests[3]], expected[requests[3]], rtol=1e-12, atol=0)
    torch.testing.assert_close(
        within.nearest, torch.cdist(sets[0], sets[0]).sort().values[:, 1:6] ** 2, rtol=1e-9, atol=0
    )


def test_equal_points_are_in_closed_balls_of_radius_0_only() -> None:
    closed, opened = (InBalls(real=True, k=1, closed=closed) for closed in (True, False))
    found, _ = pairwise(torch.ones(5, 3).double(), torch.ones(4, 3).double(), [closed, opened])
    assert found[closed].points.all() and found[closed].balls.all() and found[closed].pairs == 20
    assert not found[opened].points.any() and not found[opened].balls.any() and found[opened].pairs == 0
