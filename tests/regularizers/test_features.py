"""Closed forms of the penalties on features and classes."""

import math

import pytest
import torch

from gan_lab.regularizers.features import Classification, FeatureMatching
from tests.helpers.critic_steps import linear, points, step

LABELS = torch.tensor([3, 0, 9, 9])


@pytest.mark.parametrize("form", ["squared", "absolute"])
def test_feature_matching_is_zero_for_equal_means(form: str) -> None:
    real = points(4, 5)
    other = real.flip(0) + torch.tensor([[1.0], [-1.0], [2.0], [-2.0]])
    assert FeatureMatching(form=form)(step(linear(), real, other)).item() == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize(("form", "value"), [("squared", 9 + 16), ("absolute", 3.5)])
def test_feature_matching_by_hand(form: str, value: float) -> None:
    """Means (0, 0) and (3, -4); the batches may differ in size."""
    real, fake = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), torch.tensor([[3.0, -4.0]])
    assert FeatureMatching(form=form)(step(linear(), real, fake)).item() == value


def test_feature_matching_gradient_reaches_generated_samples_only() -> None:
    real, fake = points(4, 2).requires_grad_(), (points(4, 2) + 1).requires_grad_()
    FeatureMatching()(step(linear(), real, fake)).backward()
    assert real.grad is None and fake.grad is not None
    assert torch.allclose(fake.grad, torch.full((4, 2), 2 / 4, dtype=torch.float64))  # 2 (mean difference 1) / n


def test_feature_matching_refuses_unknown_forms() -> None:
    with pytest.raises(ValueError, match="form=cubic is not known; choose squared or absolute"):
        FeatureMatching(form="cubic")


def uniform(features: torch.Tensor) -> torch.Tensor:
    """The same logit for each of ten classes."""
    return torch.zeros(len(features), 10)


@pytest.mark.parametrize(
    ("penalty", "terms"),
    [(Classification(), 2), (Classification(fake=False), 1), (Classification(player="generator"), 1)],
)
def test_classification_of_uniform_logits(penalty: Classification, terms: int) -> None:
    outputs = step(linear(), points(4, 2), points(4, 2), LABELS, uniform)
    assert penalty(outputs).item() == pytest.approx(terms * math.log(10), rel=1e-6)
    assert math.log(10) == pytest.approx(2.302585, abs=1e-6)


def test_classified_samples_by_player() -> None:
    """Class logits are the features: on real samples they are right with certainty, on generated ones wrong."""
    real = 1000 * torch.nn.functional.one_hot(LABELS, 10).double()
    outputs = step(linear(), real, -real, LABELS)
    assert Classification(fake=False)(outputs).item() == 0
    assert Classification()(outputs).item() == pytest.approx(1000 + math.log(9))
    assert Classification(player="generator")(outputs).item() == pytest.approx(1000 + math.log(9))


def test_classification_of_generated_samples_alone() -> None:
    """Real samples have no class in a mixture of generators."""
    real = 1000 * torch.nn.functional.one_hot(LABELS, 10).double()
    outputs = step(linear(), real, -real, LABELS)
    assert Classification(real=False)(outputs).item() == pytest.approx(1000 + math.log(9))
    with pytest.raises(ValueError, match="fake=false and real=false leave no samples"):
        Classification(real=False, fake=False)


def test_classification_needs_labels() -> None:
    with pytest.raises(ValueError, match="regularizer=classification needs labels; choose"):
        Classification()(step(linear(), points(4, 2), points(4, 2)))


def test_classification_refuses_a_generator_without_samples() -> None:
    with pytest.raises(ValueError, match="fake=false leaves no samples for player=generator"):
        Classification(player="generator", fake=False)
