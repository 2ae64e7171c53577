"""Modes and scores in closed form, and against the definitions summed sample by sample."""

import math

import numpy as np
import pytest
import torch

from gan_lab.metrics.functional import (
    expected_modes,
    expected_reverse_kl,
    inception_score,
    mode_score,
    penalized_mode_score,
    reverse_kl,
)

TRAIN = torch.tensor([0.5, 0.2, 0.2, 0.1], dtype=torch.float64)


def predictions(seed: int = 0, samples: int = 300, classes: int = 4) -> torch.Tensor:
    """Probabilities (samples, classes), some of them nearly 0."""
    return (3 * torch.randn(samples, classes, generator=torch.Generator().manual_seed(seed)).double()).softmax(1)


def means(probabilities: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return probabilities.mean(0), -(probabilities * probabilities.log()).sum(1).mean()


def mean_kl(probabilities: torch.Tensor, reference: torch.Tensor) -> float:
    """E KL(p(y|x) || reference), one sample and one class at a time."""
    q = reference.numpy()
    return float(np.mean([sum(p * math.log(p / q[k]) for k, p in enumerate(row)) for row in probabilities.numpy()]))


def test_one_mode_has_the_largest_divergence_and_equal_counts_none() -> None:
    one = torch.zeros(1000, dtype=torch.int64)
    one[17] = 25_600
    assert float(reverse_kl(one)) == pytest.approx(math.log(1000)) == pytest.approx(6.9078, abs=1e-4)
    assert float(reverse_kl(torch.full((1000,), 25.6))) == pytest.approx(0, abs=1e-12)
    half = torch.arange(1000) % 2  # half of the modes, equally: missing modes have no term of their own
    assert float(reverse_kl(half)) == pytest.approx(math.log(2))
    assert reverse_kl(one).dtype == torch.float64 and reverse_kl(torch.zeros(5)).isnan()


def test_divergence_is_the_sum_over_found_modes() -> None:
    counts = torch.tensor([3, 0, 5, 2])
    expected = sum(n / 10 * math.log(n / 10 / 0.25) for n in (3, 5, 2))
    assert float(reverse_kl(counts)) == pytest.approx(expected, rel=1e-12)


def test_values_of_uniform_random_labels() -> None:
    """For 25,600 labels the exact mean, a simulation and the first-order formula agree."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.randint(1000, (50, 25_600), generator=generator)
    found = torch.stack([reverse_kl(torch.bincount(draw, minlength=1000)) for draw in draws])
    exact = expected_reverse_kl(25_600, 1000)
    assert exact == pytest.approx(float(found.mean()), abs=5 * float(found.std()) / 50**0.5)
    assert exact == pytest.approx(999 / 51_200, rel=0.01) == pytest.approx(0.0195, abs=1e-4)
    assert 1000 - expected_modes(25_600, 1000) == pytest.approx(7.5e-9, rel=0.02)


def test_expectations_of_two_labels_by_hand() -> None:
    """Two labels of 4: with probability 1/4 the same (ln 4, one mode), else two modes (ln 2)."""
    assert expected_reverse_kl(2, 4) == pytest.approx(math.log(4) / 4 + 3 * math.log(2) / 4)
    assert expected_modes(2, 4) == pytest.approx(7 / 4)


def test_inception_score_of_constant_and_certain_predictions() -> None:
    assert float(inception_score(*means(torch.tensor([[0.7, 0.2, 0.1]]).double().expand(50, 3)))) == pytest.approx(1)
    uniform = torch.full((10,), 0.1, dtype=torch.float64)
    assert float(inception_score(uniform, torch.tensor(0.0))) == pytest.approx(10)


def test_inception_score_is_its_definition() -> None:
    probabilities = predictions()
    expected = math.exp(mean_kl(probabilities, probabilities.mean(0)))
    assert float(inception_score(*means(probabilities))) == pytest.approx(expected, rel=1e-12)


def test_mode_score_is_its_definition_and_the_inception_score() -> None:
    probabilities = predictions()
    marginal = probabilities.mean(0)
    expected = math.exp(mean_kl(probabilities, TRAIN) - mean_kl(marginal[None], TRAIN))
    assert float(mode_score(*means(probabilities), TRAIN)) == pytest.approx(expected, rel=1e-12)
    assert expected == pytest.approx(float(inception_score(*means(probabilities))), rel=1e-12)


def test_penalized_score_is_lower_for_wrong_class_frequencies() -> None:
    probabilities = predictions()
    marginal = probabilities.mean(0)
    score, penalized = inception_score(*means(probabilities)), penalized_mode_score(*means(probabilities), TRAIN)
    expected = math.exp(mean_kl(probabilities, marginal) - mean_kl(marginal[None], TRAIN))
    assert float(penalized) == pytest.approx(expected, rel=1e-12) and penalized < 0.98 * score
    assert float(penalized_mode_score(*means(probabilities), marginal)) == pytest.approx(float(score), rel=1e-12)


def test_scores_of_several_splits_at_once() -> None:
    parts = [predictions(seed) for seed in range(3)]
    together = inception_score(*(torch.stack(mean) for mean in zip(*map(means, parts), strict=True)))
    torch.testing.assert_close(together, torch.stack([inception_score(*means(part)) for part in parts]))
