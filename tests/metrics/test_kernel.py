"""Kernel distance: the sum written out, closed forms, and its statistics over many draws."""

import math
import statistics
from itertools import permutations, product

import pytest
import torch
from torch import Tensor

from gan_lab.metrics.features import shuffled
from gan_lab.metrics.kernel import KernelDistance, kernel_distance, standard_error
from gan_lab.noise import mix


def normal(count: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def written_out(a: Tensor, b: Tensor) -> float:
    """The definition as a sum over pairs."""

    def kernel(x: list[float], y: list[float]) -> float:
        return (math.fsum(p * q for p, q in zip(x, y, strict=True)) / len(x) + 1) ** 3

    x, y = a.tolist(), b.tolist()
    within = [statistics.fmean(kernel(*pair) for pair in permutations(rows, 2)) for rows in (x, y)]
    return sum(within) - 2 * statistics.fmean(kernel(*pair) for pair in product(x, y))


def values(real: Tensor, generated: Tensor, blocks: int = 10, seed: int = 0) -> dict[str, float]:
    metric = KernelDistance(blocks=blocks, seed=seed)
    metric.update(real, real=True)
    metric.update(generated)
    return {key: float(value) for key, value in metric.compute().items()}


@pytest.mark.parametrize("chunk", [1, 7, 512])
def test_equals_the_sum_over_all_pairs(chunk: int) -> None:
    a, b = normal(30, 5), 1.3 * normal(21, 5, seed=1) + 0.2
    expected = written_out(a, b)
    assert float(kernel_distance(a, b, chunk)) == pytest.approx(expected, rel=1e-12)
    assert values(a, b)["distance"] == pytest.approx(expected, rel=1e-12)


def test_two_points_by_hand() -> None:
    """k(1, 2) = 27 in one set, k(0, 3) = 1 in the other, and 1, 64, 1 and 343 between the sets."""
    a, b = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [3.0]])
    assert values(a, b)["distance"] == pytest.approx(27 + 1 - 2 * (1 + 64 + 1 + 343) / 4, rel=1e-14)


def test_distance_of_a_set_to_itself_is_negative() -> None:
    """What remains is the difference of two means, with and without pairs of a point with itself."""
    points = normal(8, 4)
    kernel = (points @ points.T / 4 + 1) ** 3
    others = (kernel.sum() - kernel.trace()) / 56
    expected = 2 / 8 * (others - kernel.trace() / 8)
    assert expected < -1
    assert values(points, points)["distance"] == pytest.approx(float(expected), rel=1e-12)


def test_distance_of_equal_distributions_has_mean_0() -> None:
    found = [values(normal(60, 4, seed=seed), normal(60, 4, seed=seed + 1000))["distance"] for seed in range(80)]
    assert abs(statistics.fmean(found)) < 3 * statistics.stdev(found) / math.sqrt(80)
    assert min(found) < 0 < max(found)


def test_standard_error_of_the_blocks() -> None:
    real, generated = normal(40, 3), normal(26, 3, seed=1) + 1
    sizes = [(10, 7), (10, 7), (10, 6), (10, 6)]
    starts = [(0, 0), (10, 7), (20, 14), (30, 20)]
    blocks = [written_out(real[i : i + n], generated[j : j + m]) for (i, j), (n, m) in zip(starts, sizes, strict=True)]
    expected = statistics.stdev(blocks) / 2
    assert float(standard_error(real, generated, 4)) == pytest.approx(expected, rel=1e-10)
    parts = shuffled(real, mix(0, 0)), shuffled(generated, mix(0, 1))
    assert values(real, generated, blocks=4)["standard_error"] == float(standard_error(*parts, 4))


def test_standard_error_is_near_the_deviation_over_draws() -> None:
    draws = [values(normal(100, 4, seed=seed), normal(100, 4, seed=seed + 1000) + 1) for seed in range(60)]
    deviation = statistics.stdev(draw["distance"] for draw in draws)
    assert 0.6 < statistics.fmean(draw["standard_error"] for draw in draws) / deviation < 1.6


def test_seed_changes_the_error_only() -> None:
    first, second = (values(normal(60, 3), normal(60, 3, seed=1), seed=seed) for seed in (0, 1))
    assert first["distance"] == pytest.approx(second["distance"], rel=1e-12)
    assert first["standard_error"] != pytest.approx(second["standard_error"], rel=1e-3)


def test_blocks_of_one_image_have_no_error() -> None:
    assert math.isnan(values(normal(19, 3), normal(50, 3, seed=1))["standard_error"])
    assert values(normal(20, 3), normal(50, 3, seed=1))["standard_error"] > 0
