"""Closed forms of the penalties and constraints."""

import pytest
import torch
from torch import Tensor, nn

from gan_lab.noise import Noise
from gan_lab.regularizers import functional as F
from gan_lab.regularizers.constraints import WeightClip
from gan_lab.regularizers.penalties import R1, R2, DivergencePenalty, Drift, GradientPenalty
from gan_lab.types import CriticStep

W = torch.tensor([3.0, 4.0], dtype=torch.float64)


def linear(weights: Tensor = W):
    return lambda x: x.flatten(1) @ weights + 0.7


def step(critic, real: Tensor, fake: Tensor) -> CriticStep:
    return CriticStep(critic, real, lambda: fake, Noise(0, len(real)))


def points(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_gradient_penalty_of_a_linear_critic_for_any_mixing(epsilon: float) -> None:
    mixed = F.interpolate(points(6, 2), points(6, 2) + 1, torch.full((6,), epsilon, dtype=torch.float64))
    assert F.gradient_penalty(linear(), mixed).item() == pytest.approx(16, abs=1e-10)


def test_gradient_penalty_reaches_the_critics_weights() -> None:
    weights = W.clone().requires_grad_()
    GradientPenalty()(step(linear(weights), points(4, 2), points(4, 2))).backward()
    assert weights.grad is not None
    assert torch.allclose(weights.grad, torch.tensor([4.8, 6.4], dtype=torch.float64))


def test_gradient_penalty_of_half_the_squared_norm() -> None:
    x = points(5, 3)
    expected = (x.norm(dim=1) - 1).square().mean().item()
    assert F.gradient_penalty(lambda y: 0.5 * y.square().sum(1), x).item() == pytest.approx(expected, abs=1e-12)


def test_gradient_penalty_with_another_target() -> None:
    penalty = GradientPenalty(target=750)
    value = penalty.weight * penalty(step(linear(), points(4, 2), points(4, 2)))
    assert value.item() == pytest.approx(9.8671111, abs=1e-7)


def test_each_sample_has_one_mixing_coefficient() -> None:
    ones, zeros = torch.ones(4, 3, 5, 5), torch.zeros(4, 3, 5, 5)
    mixed = F.interpolate(ones, zeros, Noise(0, 4).uniform()).flatten(1)
    assert torch.equal(mixed.min(1).values, mixed.max(1).values)
    assert len(mixed[:, 0].unique()) == 4
    assert torch.equal(F.interpolate(ones, zeros, torch.ones(4)), ones)
    assert torch.equal(F.interpolate(ones, zeros, torch.zeros(4)), zeros)


def test_divergence_penalty_of_a_linear_critic() -> None:
    penalty = DivergencePenalty()
    value = penalty.weight * penalty(step(linear(), points(4, 2), points(4, 2)))
    assert value.item() == pytest.approx(31250, rel=1e-12)


@pytest.mark.parametrize(
    "formula", [F.gradient_penalty, lambda c, x: F.divergence_penalty(c, x, 6.0), F.zero_centered_penalty]
)
def test_zero_gradient_gives_no_nan(formula) -> None:
    weights = torch.zeros(2, requires_grad=True)
    value = formula(lambda x: x @ weights, torch.randn(3, 2))
    value.backward()
    assert torch.isfinite(value) and weights.grad is not None and torch.isfinite(weights.grad).all()


def test_r1_of_a_quadratic_form() -> None:
    matrix = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    penalty = R1(weight=10.0)
    real = torch.eye(2, dtype=torch.float64)
    value = penalty.weight * penalty(step(lambda x: 0.5 * ((x @ matrix) * x).sum(1), real, 100 * real))
    assert value.item() == pytest.approx(37.5, abs=1e-12)


def test_r1_looks_at_real_and_r2_at_generated_samples() -> None:
    half_square = lambda x: 0.5 * x.square().sum(1)  # noqa: E731
    real, fake = points(4, 2), 5 * points(4, 2)
    assert R1()(step(half_square, real, fake)).item() == pytest.approx(0.5 * real.square().sum(1).mean().item())
    assert R2()(step(half_square, real, fake)).item() == pytest.approx(0.5 * fake.square().sum(1).mean().item())


def test_drift_is_the_mean_squared_logit_of_real_samples_only() -> None:
    real = points(4, 2)
    value = Drift()(step(linear(), real, 100 * real)).item()
    assert value == pytest.approx(linear()(real).square().mean().item(), rel=1e-5)
    assert Drift().weight == 1e-3


def test_weight_clip_bounds_every_parameter_and_no_buffer() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    WeightClip(0.01)(network)
    assert all(p.abs().max() <= 0.01 for p in network.parameters())
    assert torch.equal(network[1].running_var, torch.ones(4))


def test_clipped_linear_critic_finds_the_distance_times_the_limit() -> None:
    """1-D, fakes = reals + 2.5: the best clipped critic -0.01 x reports 0.01 times the exact Wasserstein distance 2.5."""
    critic = nn.Linear(1, 1, bias=False)
    real = points(50, 1).float()
    optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        (critic(real + 2.5).mean() - critic(real).mean()).backward()
        optimizer.step()
        WeightClip(0.01)(critic)
    assert (critic(real).mean() - critic(real + 2.5).mean()).item() == pytest.approx(0.025, abs=1e-6)
