"""Points against a known mixture: measured values of known samplers, ideal values, and sums over processes."""

import math
import statistics
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gan_lab.data.mixtures import GaussianMixture, grid, ring
from gan_lab.errors import ConfigError
from gan_lab.metrics.points import HistogramDivergence, ModeCoverage, PointMetric, Wasserstein
from gan_lab.noise import Noise
from tests.helpers.distributed import run_in_two_processes

RING = ring()
"""D2GAN's: 8 modes, radius 2, covariance 0.02 I."""


def first_modes(count: int) -> Tensor:
    """10,000 points of a sampler of only the first `count` modes."""
    return GaussianMixture(RING.centers[:count], RING.std).sample(Noise(5, 10_000))[0]


def value(metric: PointMetric, points: Tensor, key: str) -> float:
    metric.update(points)
    return float(metric.compute()[key])


@pytest.mark.parametrize(
    ("modes", "bins", "expected", "tolerance"),
    [
        (8, 25, 0.024, 0.006), (8, 50, 0.072, 0.006), (8, 100, 0.227, 0.01),
        (7, 25, 1.25, 0.02), (7, 50, 1.14, 0.02), (7, 100, 1.09, 0.02),
        (4, 25, 5.22, 0.02), (4, 50, 4.62, 0.02), (4, 100, 3.98, 0.02),
        (1, 25, 10.34, 0.02), (1, 50, 9.25, 0.02), (1, 100, 8.03, 0.02),
    ],
)  # fmt: skip
def test_symmetric_divergence_of_known_samplers(modes: int, bins: int, expected: float, tolerance: float) -> None:
    """Numbers from independent code with the same protocol."""
    assert value(HistogramDivergence(RING, bins=bins), first_modes(modes), "symmetric") == pytest.approx(
        expected, abs=tolerance
    )


def test_divergence_depends_on_eps() -> None:
    assert value(HistogramDivergence(RING, eps=1e-10), first_modes(1), "symmetric") == pytest.approx(17.3, abs=0.1)


def test_directions_of_the_divergence() -> None:
    """With one of eight modes, KL(points || mixture) is log 8, and each empty cell adds to KL(mixture || points)."""
    metric = HistogramDivergence(RING, eps=1e-12)
    metric.update(first_modes(1))
    values = metric.compute()
    assert values["symmetric"] == values["forward"] + values["reverse"]
    assert values["reverse"].item() == pytest.approx(math.log(8), abs=0.02)
    assert values["forward"] > 10


def test_distant_points_count() -> None:
    half = first_modes(8)
    half[::2] += 100
    assert value(HistogramDivergence(RING), half, "symmetric") > 5
    assert value(HistogramDivergence(RING), torch.full((100, 2), math.nan), "symmetric") > 20


@pytest.mark.parametrize(("modes", "expected"), [(7, 0.41), (4, 1.33), (1, 2.44)])
def test_distance_of_known_samplers(modes: int, expected: float) -> None:
    assert value(Wasserstein(RING), first_modes(modes), "distance") == pytest.approx(expected, abs=0.12)


def test_distance_of_the_mixture_itself() -> None:
    """Measured with independent code: 0.165 ± 0.04 over draws."""
    values = [
        value(Wasserstein(RING, seed=seed), RING.sample(Noise(100 + seed, 1000))[0], "distance") for seed in range(6)
    ]
    assert 0.08 < statistics.fmean(values) < 0.21


def test_only_the_first_points_are_paired() -> None:
    points = first_modes(8)
    expected = value(Wasserstein(RING, points=200), points[:200], "distance")
    metric = Wasserstein(RING, points=200)
    for chunk in points.split(150):
        metric.update(chunk)
    assert metric.compute()["distance"] == expected
    assert sum(len(part) for part in metric.kept) == 200  # the others are not kept
    assert value(Wasserstein(RING, points=500), points[:200], "distance") == expected  # fewer than requested


def test_coverage_by_hand() -> None:
    mixture = GaussianMixture(((0.0, 0.0), (10.0, 0.0), (0.0, 10.0)), std=1.0)
    metric = ModeCoverage(mixture)
    metric.update(torch.tensor([[0.0, 3.0], [0.0, 3.01], [10.0, -2.0], [5.0, 5.0], [9.0, 1.0]]))
    values = {key: float(number) for key, number in metric.compute().items()}
    reverse_kl = 2 / 3 * math.log(2) + math.log(1)  # two thirds in the second mode, which has a third of the weight
    assert values == {"modes": 2, "high_quality": 3 / 5, "reverse_kl": pytest.approx(reverse_kl)}
    assert value(ModeCoverage(mixture, radius_stds=4.0), torch.tensor([[0.0, 3.5]]), "high_quality") == 1
    assert value(ModeCoverage(mixture), torch.full((2, 2), math.nan), "high_quality") == 0


def test_a_perfect_sampler_covers_all_modes() -> None:
    """A normal point of the plane lies within 3 standard deviations with probability 1 - exp(-9/2)."""
    metric = ModeCoverage(grid())
    metric.update(grid().sample(Noise(1, 50_000))[0])
    assert metric.compute()["modes"] == 25
    assert metric.compute()["high_quality"].item() == pytest.approx(1 - math.exp(-4.5), abs=2e-3)


def test_ideal_values_are_those_of_the_mixture() -> None:
    metric = HistogramDivergence(RING)
    metric.update(first_modes(1))
    ideal = metric.ideal_values()
    assert ideal["symmetric"].item() == pytest.approx(0.072, abs=0.006)
    assert ideal["symmetric"] == pytest.approx(ideal["forward"] + ideal["reverse"])
    assert metric.ideal_values() is ideal  # computed once for 10,000 points
    assert metric.compute()["symmetric"] > 9  # its own points are unchanged
    metric.update(first_modes(8))
    assert metric.ideal_values()["symmetric"] < 0.7 * ideal["symmetric"]  # of 20,000 points
    coverage = ModeCoverage(RING)
    coverage.update(first_modes(1))
    assert coverage.compute()["reverse_kl"].item() == pytest.approx(math.log(8))
    assert coverage.ideal_values()["modes"] == 8 and coverage.ideal_values()["reverse_kl"] < 0.01


def test_global_random_state_is_unchanged() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for metric in (HistogramDivergence(RING), Wasserstein(RING, points=50), ModeCoverage(RING)):
        metric.update(first_modes(8)[:100])
        metric.compute(), metric.ideal_values()
    assert torch.equal(before, torch.get_rng_state())


def test_protocol_names_all_settings() -> None:
    assert HistogramDivergence(RING).protocol == {"bins": 50, "extent": 3.0, "eps": 1e-6}
    assert Wasserstein(RING, seed=3).protocol == {"points": 1000, "true_points_seed": 3}
    assert ModeCoverage(RING).protocol == {"radius_stds": 3.0}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ModeCoverage(RING, radius_stds=0), "radius_stds=0 .*greater than 0"),
        (lambda: HistogramDivergence(RING, bins=0), "bins=0 .*at least 1"),
        (lambda: HistogramDivergence(RING, extent=-1.0), "extent=-1.0 .*greater than 0"),
        (lambda: HistogramDivergence(RING, eps=-1.0), "eps=-1.0 .*at least 0"),
        (lambda: HistogramDivergence(RING, extent=2.0), r"extent=2.0 leaves .*%.* choose at least 2.6"),
        (lambda: Wasserstein(RING, points=0), "points=0 .*at least 1"),
        (lambda: ModeCoverage(None), "metrics=points needs .*dataset=ring"),  # type: ignore[arg-type]
    ],
)
def test_refusals(make, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make()


def metrics() -> list[PointMetric]:
    return [ModeCoverage(RING), HistogramDivergence(RING), Wasserstein(RING, points=300)]


def one_of_two(folder: Path) -> None:
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    half = first_modes(7)[:1000].split(600)[rank]  # a different number in each process
    joint = metrics()
    for metric in joint:
        metric.update(half)
    torch.save([metric.compute() for metric in joint], folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_equal_one(tmp_path: Path) -> None:
    run_in_two_processes(one_of_two, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for metric, there, here in zip(metrics(), first, second, strict=True):
        metric.update(first_modes(7)[:1000])
        assert metric.compute() == there == here
