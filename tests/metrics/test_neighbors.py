"""Precision and recall, density and coverage: the authors' package, ties by hand, equal and disjoint sets."""

from fractions import Fraction

import numpy as np
import prdc
import pytest
import torch
from torch import Tensor

from gan_lab.metrics.neighbors import DensityCoverage, PrecisionRecall, density_coverage, precision_recall


def normal(count: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def values(real: Tensor, generated: Tensor, k: int) -> dict[str, float]:
    found = {}
    for metric in (PrecisionRecall(k=k), DensityCoverage(k=k)):
        metric.update(real, real=True)
        metric.update(generated)
        found |= {key: float(value) for key, value in metric.compute().items()}
    return found


def by_hand(real: list[tuple[int, ...]], generated: list[tuple[int, ...]], k: int) -> dict[str, Fraction]:
    """The definitions in integers, for which equal distances are exactly equal."""

    def square(a: tuple[int, ...], b: tuple[int, ...]) -> int:
        return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))

    def radii(points: list[tuple[int, ...]]) -> list[int]:
        return [sorted(square(a, b) for j, b in enumerate(points) if j != i)[k - 1] for i, a in enumerate(points)]

    def fraction_inside(points: list[tuple[int, ...]], centers: list[tuple[int, ...]]) -> Fraction:
        limits = radii(centers)
        return Fraction(
            sum(any(square(p, c) <= r for c, r in zip(centers, limits, strict=True)) for p in points), len(points)
        )

    limits = radii(real)
    inside = [[square(r, g) < limit for g in generated] for r, limit in zip(real, limits, strict=True)]
    return {
        "precision": fraction_inside(generated, real),
        "recall": fraction_inside(real, generated),
        "density": Fraction(sum(map(sum, inside)), k * len(generated)),
        "coverage": Fraction(sum(map(any, inside)), len(real)),
    }


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("reals", "generateds"), [(80, 60), (50, 120)])
def test_equals_the_package_without_ties(k: int, reals: int, generateds: int, capsys) -> None:
    """The package excludes the boundary for precision and recall too; without ties this makes no difference."""
    real, generated = normal(reals, 6), 0.8 * normal(generateds, 6, seed=1) + 0.3
    expected = prdc.compute_prdc(real.numpy(), generated.numpy(), k)
    assert values(real, generated, k) == pytest.approx(expected, rel=1e-12)
    assert 0.1 < expected["precision"] < 1


def test_boundary_belongs_to_balls_of_precision_but_not_of_density() -> None:
    """As Kynkäänniemi et al. and Naeem et al. define them; the package excludes the boundary in both."""
    real, generated = torch.tensor([[-1.0], [0.0], [1.0]]), torch.tensor([[2.0], [3.5], [5.0]])
    assert values(real, generated, k=1) == {"precision": 1 / 3, "recall": 1 / 3, "density": 0, "coverage": 0}
    assert prdc.compute_prdc(real.numpy(), generated.numpy(), 1)["precision"] == 0


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.1, 0.3), (0.75, 1000.25), (1.0, -1e6)])
def test_ties_and_duplicates_are_counted_as_in_integers(k: int, scale: float, shift: float) -> None:
    """Grid points with many equal distances; tenths are rounded, and far from 0 products lose digits."""
    generator = np.random.default_rng(k)
    real = [tuple(row) for row in generator.integers(0, 6, (60, 3)).tolist()]
    generated = [tuple(row) for row in generator.integers(1, 8, (45, 3)).tolist()]
    expected = {key: float(value) for key, value in by_hand(real, generated, k).items()}
    points = [scale * torch.tensor(rows, dtype=torch.float64) + shift for rows in (real, generated)]
    assert values(*points, k) == pytest.approx(expected, rel=1e-14)
    assert 0 < expected["coverage"] < 1 and 0 < expected["recall"] < 1


@pytest.mark.parametrize("shift", [0.0, 1e4])
@pytest.mark.parametrize("chunk", [7, 512])
def test_equal_sets_have_exactly_1(shift: float, chunk: int) -> None:
    points = normal(150, 40) + shift
    for k in (1, 3, 5):
        for found in (precision_recall, density_coverage):
            assert [float(value) for value in found(points, points.flip(0), k, chunk)] == [1, 1]


def test_every_point_twice() -> None:
    """A ball of radius 0 has a boundary and no interior."""
    twice = normal(40, 20).repeat(2, 1) + 100
    assert values(twice, twice, k=1) == {"precision": 1, "recall": 1, "density": 0, "coverage": 0}


def test_disjoint_sets_have_0() -> None:
    real, generated = normal(50, 8), normal(50, 8, seed=1) + 1000
    assert values(real, generated, k=3) == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_good_images_without_variety_and_varied_images_of_low_quality() -> None:
    real = normal(400, 2)
    narrow, wide = 0.15 * normal(400, 2, seed=1), 4 * normal(400, 2, seed=2)
    assert values(real, narrow, k=3)["precision"] > 0.95 and values(real, narrow, k=3)["recall"] < 0.3
    assert values(real, wide, k=3)["precision"] < 0.5
    assert values(real, narrow, k=5)["density"] > 1.1 and values(real, narrow, k=5)["coverage"] < 0.4
    assert values(real, wide, k=5)["density"] < 0.5


def test_two_sets_of_one_distribution() -> None:
    """Density is 1; a ball is missed if its k nearest points of both sets are real, with probability 2^-k."""
    found = values(normal(1500, 3), normal(1500, 3, seed=1), k=3)
    assert found["density"] == pytest.approx(1, abs=0.05)
    assert found["coverage"] == pytest.approx(1 - 2**-3, abs=0.03)
