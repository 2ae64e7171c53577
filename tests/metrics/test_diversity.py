"""Diversity of features: all pairs, distances by hand, and samples with duplicates."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gan_lab.metrics.diversity import FeatureDiversity, mean_pairwise_distance


def normal(count: int, size: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def value(generated: Tensor, pairs: int = 10_000, seed: int = 0) -> float:
    metric = FeatureDiversity(pairs=pairs, seed=seed)
    metric.update(generated)
    return float(metric.compute()["generated"])


@pytest.mark.parametrize("count", [2, 3, 4, 7, 8])
def test_all_pairs_each_once(count: int) -> None:
    features = normal(count)
    expected = torch.pdist(F.normalize(features, dim=1)).mean()
    assert value(features) == pytest.approx(float(expected), rel=1e-13)
    assert value(features, pairs=count * (count - 1) // 2) == pytest.approx(float(expected), rel=1e-13)


def test_pairs_are_first_neighbors_then_samples_two_apart() -> None:
    features = F.normalize(normal(5), dim=1)
    pairs = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 2), (1, 3)]
    expected = sum((features[i] - features[j]).norm() for i, j in pairs) / 7
    assert float(mean_pairwise_distance(features, 7)) == pytest.approx(float(expected), rel=1e-13)


def test_directions_by_hand() -> None:
    assert value(torch.tensor([[3.0, 0.0], [0.0, 0.1]])) == pytest.approx(math.sqrt(2), rel=1e-14)
    assert value(torch.tensor([[3.0, 1.0], [-6.0, -2.0]])) == pytest.approx(2, rel=1e-14)
    assert value(torch.tensor([[1.0, 1.0], [0.0, 0.0]])) == pytest.approx(1, rel=1e-14)


def test_length_of_a_feature_vector_has_no_effect() -> None:
    features = normal(30)
    longer = features * torch.arange(1, 31)[:, None]
    assert value(longer) == pytest.approx(value(features), rel=1e-12)


def test_equal_images_have_diversity_0() -> None:
    assert value(torch.full((50, 3), 0.3)) == 0


def test_duplicates_are_paired_at_random() -> None:
    """With two images, each half of the samples, half of the pairs contain both."""
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat_interleave(500, 0)
    assert value(features, pairs=1000) == pytest.approx(math.sqrt(2) / 2, abs=0.08)


def test_a_subset_of_pairs_is_an_estimate() -> None:
    features = normal(400)
    distances = torch.pdist(F.normalize(features, dim=1))
    some = [value(features, pairs=100, seed=seed) for seed in range(10)]
    assert len(set(some)) == 10
    assert sum(some) / 10 == pytest.approx(float(distances.mean()), abs=4 * float(distances.std()) / math.sqrt(1000))


def test_real_images_have_their_own_value() -> None:
    metric = FeatureDiversity()
    metric.update(normal(20))
    assert math.isnan(metric.compute()["real"])
    metric.update(normal(1, seed=2), real=True)
    assert math.isnan(metric.compute()["real"])
    metric.update(normal(30, seed=1), real=True)
    assert float(metric.compute()["generated"]) == value(normal(20))
    assert float(metric.compute()["real"]) == value(torch.cat([normal(1, seed=2), normal(30, seed=1)]))
