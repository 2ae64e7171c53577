"""Directions of latent spaces in closed form."""

import pytest
import torch

from gan_lab.analysis.directions import (
    boundary,
    conditioned,
    factorized_directions,
    principal_directions,
    regressed_directions,
)

SCALES = torch.tensor([3.0, 2.0, 1.0])


def latents(count: int = 4000, dim: int = 3) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(0))


def assert_axes(vectors: torch.Tensor, atol: float) -> None:
    """The vectors are the first axes, up to their signs."""
    torch.testing.assert_close(vectors.abs(), torch.eye(3)[: len(vectors)], atol=atol, rtol=0)


def test_principal_components_of_a_diagonal_map() -> None:
    z = latents()
    found = principal_directions(z * SCALES, 2)
    assert_axes(found.vectors, 0.05)
    torch.testing.assert_close(found.importance, torch.tensor([9.0, 4.0]) / 14, atol=0.02, rtol=0)


def test_regression_leads_back_to_the_latents() -> None:
    z = latents()
    turn, _ = torch.linalg.qr(torch.randn(5, 3, generator=torch.Generator().manual_seed(1)))
    found = regressed_directions(z, (z * SCALES) @ turn.T, 3)
    assert_axes(found.vectors, 0.06)


def test_eigenvectors_of_a_weight_are_its_right_singular_vectors() -> None:
    rows = torch.tensor([[1.0, 0, 0]] * 3 + [[0, 1.0, 0]] * 2 + [[0, 0, 1.0]])
    found = factorized_directions(rows, 2)
    assert_axes(found.vectors, 1e-6)
    assert found.importance.tolist() == [3, 2]
    weight = torch.randn(20, 3, generator=torch.Generator().manual_seed(2))
    normalized = torch.nn.functional.normalize(weight, dim=1)
    _, singular, right = torch.linalg.svd(normalized)
    found = factorized_directions(weight, 3)
    torch.testing.assert_close(found.importance, singular.square(), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.vectors.abs(), right.abs(), atol=1e-4, rtol=0)


def test_linear_scores_have_their_weight_as_the_boundary() -> None:
    z, wanted = latents(12000, 5), torch.tensor([0.6, 0.0, -0.8, 0.0, 0.0])
    found = boundary(z, z @ wanted)
    assert found.accuracy == 1 and found.accuracy_of_rest > 0.95
    assert found.vector @ wanted > 0.99 and found.vector.norm() == pytest.approx(1)
    shuffled = boundary(z, z[torch.randperm(12000, generator=torch.Generator().manual_seed(3))] @ wanted)
    assert abs(shuffled.accuracy - 0.5) < 0.15


def test_a_conditioned_direction_keeps_the_other_scores() -> None:
    found = conditioned(torch.tensor([1.0, 0, 0]), [torch.tensor([0.6, 0.8, 0])])
    torch.testing.assert_close(found, torch.tensor([0.8, -0.6, 0]))
    with pytest.raises(ValueError, match="a combination of those"):
        conditioned(torch.tensor([1.0, 0, 0]), [torch.tensor([0.6, 0.8, 0]), torch.tensor([0, 1.0, 0])])


def test_scores_that_separate_nothing() -> None:
    with pytest.raises(ValueError, match="the same score"):
        boundary(latents(), torch.zeros(4000))
    with pytest.raises(ValueError, match="fewer than 4 at either end"):
        boundary(latents(100), torch.arange(100.0))
