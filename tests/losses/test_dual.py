"""Closed forms of the loss of two discriminators."""

import math

import pytest
import torch
from torch import Tensor

from gan_lab.losses.dual import Dual
from gan_lab.losses.functional import log_softplus

P = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
Q = torch.tensor([0.4, 0.1, 0.4, 0.1], dtype=torch.float64)

ZERO = torch.tensor([-800.0], dtype=torch.float64)
"""A logit with the value 0."""
ONE = torch.tensor([math.log(math.e - 1)], dtype=torch.float64)
"""A logit with the value 1, whose logarithm is 0."""


def logit(value: Tensor) -> Tensor:
    """The logit whose softplus is this value."""
    return value.expm1().log()


def value_at_the_optimal_discriminators(loss: Dual, p: Tensor, q: Tensor) -> float:
    """J of discrete distributions, with D1 = alpha p / q and D2 = beta q / p."""
    first, second = logit(loss.alpha * p / q), logit(loss.beta * q / p)
    loss_value = 0.0
    for k in range(4):  # real and fake terms separately, because their probabilities differ
        real_first = loss.first(first[k : k + 1], ZERO)
        fake_first = loss.first(ONE, first[k : k + 1])
        real_second = loss.second(second[k : k + 1], ONE)
        fake_second = loss.second(ZERO, second[k : k + 1])
        loss_value += (p[k] * (real_first + real_second) + q[k] * (fake_first + fake_second)).item()
    return -loss_value


def test_value_at_the_optimal_discriminators_is_two_divergences_plus_a_constant() -> None:
    loss = Dual(alpha=0.2, beta=0.1)
    constant = 0.2 * (math.log(0.2) - 1) + 0.1 * (math.log(0.1) - 1)
    forward, reverse = (P * (P / Q).log()).sum().item(), (Q * (Q / P).log()).sum().item()
    value = value_at_the_optimal_discriminators(loss, P, Q)
    assert value == pytest.approx(-0.7123388253, abs=1e-10)
    assert value == pytest.approx(constant + 0.2 * forward + 0.1 * reverse, abs=1e-12)


@pytest.mark.parametrize(("alpha", "beta", "value"), [(1.0, 1.0, -2.0), (0.2, 0.1, -0.8521460918)])
def test_value_at_equal_distributions(alpha: float, beta: float, value: float) -> None:
    assert value_at_the_optimal_discriminators(Dual(alpha, beta), P, P) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.2, 0.1), (0.05, 1.0)])
def test_at_equal_distributions_each_discriminator_is_stationary_at_its_weight(alpha: float, beta: float) -> None:
    """D1 = alpha and D2 = beta: no gradient there, and the generator's loss is -alpha + beta log beta."""
    loss = Dual(alpha, beta)
    first = logit(torch.full((3,), alpha, dtype=torch.float64)).requires_grad_()
    second = logit(torch.full((3,), beta, dtype=torch.float64)).requires_grad_()
    (loss.first(first, first) + loss.second(second, second)).backward()
    assert first.grad is not None and torch.allclose(first.grad, torch.zeros_like(first), atol=1e-12)
    assert second.grad is not None and torch.allclose(second.grad, torch.zeros_like(second), atol=1e-12)
    assert loss.boundary == pytest.approx(first[0].item(), abs=1e-12)
    generator = loss.generator(first.detach(), second.detach()).item()
    assert generator == pytest.approx(-alpha + beta * math.log(beta), abs=1e-12)


def test_logits_at_equal_distributions() -> None:
    """log(e^alpha - 1), computed by hand."""
    assert Dual(alpha=0.2).boundary == pytest.approx(-1.50777, abs=1e-5)
    assert Dual(alpha=0.1).boundary == pytest.approx(-2.25217, abs=1e-5)


def test_direction_of_each_loss() -> None:
    """The first discriminator is high on real samples, the second on generated ones; the generator reverses both."""
    low, high, loss = torch.tensor([-1.0]), torch.tensor([1.0]), Dual()
    assert loss.first(high, low) < loss.first(low, low) < loss.first(low, high)
    assert loss.second(low, high) < loss.second(low, low) < loss.second(high, low)
    assert loss.generator(high, low) < loss.generator(low, low) < loss.generator(low, high)


def test_log_softplus_where_the_naive_form_works() -> None:
    t = torch.linspace(-40, 20, 3001, dtype=torch.float64)  # above 20 torch takes softplus(t) = t
    naive = [math.log(math.log1p(math.exp(x))) for x in t.tolist()]
    assert torch.allclose(log_softplus(t), torch.tensor(naive, dtype=torch.float64), rtol=1e-14, atol=1e-14)
    assert torch.autograd.gradcheck(log_softplus, torch.linspace(-40, 19, 60, dtype=torch.float64).requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_softplus_is_finite_at_extreme_logits(dtype: torch.dtype) -> None:
    """The derivative is sigmoid / softplus: 1 far below 0, 1/t far above. The naive form gives -inf and NaN below."""
    t = torch.tensor([-800.0, -104.0, -36.0, 104.0, 800.0], dtype=dtype, requires_grad=True)
    value = log_softplus(t)
    value.sum().backward()
    expected = torch.tensor([-800.0, -104.0, -36.0, math.log(104), math.log(800)], dtype=dtype)
    assert torch.allclose(value, expected)
    assert t.grad is not None and torch.allclose(t.grad, torch.tensor([1, 1, 1, 1 / 104, 1 / 800], dtype=dtype))


def test_losses_are_finite_at_extreme_logits() -> None:
    for at in (-800.0, 800.0):
        logits = torch.full((3,), at, requires_grad=True)
        loss = Dual()
        total = loss.first(logits, -logits) + loss.second(logits, -logits) + loss.generator(logits, logits)
        total.backward()
        assert torch.isfinite(total) and logits.grad is not None and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", ["alpha", "beta"])
@pytest.mark.parametrize("value", [0.0, -1.0, 1.5])
def test_weights_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"loss\.{name}={value} .* in \(0, 1\]"):
        Dual(**{name: value})
