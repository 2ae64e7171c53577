"""Closed forms of the adversarial losses."""

import math

import pytest
import torch
from torch import Tensor

from gan_lab.losses.adversarial import Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein

P = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
Q = torch.tensor([0.4, 0.1, 0.4, 0.1], dtype=torch.float64)


def expected(loss_of_one, weights: Tensor, logits: Tensor) -> float:
    """Expectation over a discrete law of a loss that is a mean over its batch."""
    return sum(w * float(loss_of_one(c[None])) for w, c in zip(weights.tolist(), logits, strict=True))


def zeros(n: int = 5) -> Tensor:
    return torch.zeros(n, dtype=torch.float64)


@pytest.mark.parametrize("loss", [NonSaturating(), Minimax()])
def test_log_losses_at_zero_logits(loss: NonSaturating) -> None:
    assert loss.discriminator(zeros(), zeros()).item() == pytest.approx(2 * math.log(2), abs=1e-12)


def test_generators_at_zero_logits() -> None:
    assert NonSaturating().generator(zeros()).item() == pytest.approx(0.693147180559945, abs=1e-12)
    assert Minimax().generator(zeros()).item() == pytest.approx(-0.693147180559945, abs=1e-12)


def test_value_at_the_optimal_discriminator_is_the_jensen_shannon_divergence() -> None:
    logits = torch.log(P / Q)
    value = -(expected(Minimax().real, P, logits) + expected(Minimax().fake, Q, logits))
    middle = (P + Q) / 2
    divergence = 0.5 * ((P * (P / middle).log()).sum() + (Q * (Q / middle).log()).sum()).item()
    assert value == pytest.approx(-1.1693923473, abs=1e-10)
    assert value == pytest.approx(-math.log(4) + 2 * divergence, abs=1e-12)


@pytest.mark.parametrize(("loss", "gradient"), [(Minimax(), -4.5397869e-5), (NonSaturating(), -0.9999546)])
def test_gradient_where_the_discriminator_is_sure(loss: NonSaturating, gradient: float) -> None:
    logit = torch.tensor([-10.0], dtype=torch.float64, requires_grad=True)
    loss.generator(logit).backward()
    assert logit.grad is not None
    assert logit.grad.item() == pytest.approx(gradient, rel=1e-6)


def test_least_squares_at_equal_laws() -> None:
    half = torch.full((4,), 0.5, dtype=torch.float64)
    assert LeastSquares().discriminator(half, half).item() == pytest.approx(0.25)
    assert LeastSquares().generator(half).item() == pytest.approx(0.125)


@pytest.mark.parametrize(("abc", "value"), [((-1.0, 1.0, 0.0), 0.4076190476), ((0.0, 1.0, 1.0), 0.6019)])
def test_least_squares_and_pearson_chi_square(abc: tuple[float, float, float], value: float) -> None:
    """Twice the generator's loss plus its constant term on real samples; only (-1, 1, 0) is chi-square(p + q || 2q)."""
    loss = LeastSquares(*abc)
    a, b, _ = abc
    optimum = (b * P + a * Q) / (P + Q)
    total = 2 * (expected(loss.generator, P, optimum) + expected(loss.generator, Q, optimum))
    chi_square = ((P + Q - 2 * Q).square() / (P + Q)).sum().item()
    assert total == pytest.approx(value, abs=1e-4)
    assert (total == pytest.approx(chi_square, abs=1e-10)) == (abc == (-1.0, 1.0, 0.0))


def test_least_squares_is_the_distance_of_each_logit_not_of_their_mean() -> None:
    logits = torch.tensor([0.0, 2.0])
    assert LeastSquares().real(logits).item() == pytest.approx(0.5)


def test_wasserstein_is_the_difference_of_means() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.5])
    assert Wasserstein().discriminator(real, fake).item() == pytest.approx(0.25 - 2)
    assert Wasserstein().generator(fake).item() == pytest.approx(-0.25)


def test_hinge_is_flat_beyond_the_margin() -> None:
    real = torch.tensor([2.0], requires_grad=True)
    fake = torch.tensor([-2.0], requires_grad=True)
    loss = Hinge().discriminator(real, fake)
    loss.backward()
    assert loss.item() == 0 and real.grad is not None and fake.grad is not None
    assert real.grad.item() == 0 and fake.grad.item() == 0
    assert Hinge().discriminator(zeros(), zeros()).item() == 2


def test_hinge_optimum_is_one_minus_total_variation() -> None:
    logits = torch.sign(P - Q)
    value = expected(Hinge().real, P, logits) + expected(Hinge().fake, Q, logits)
    assert value == pytest.approx(2 * torch.minimum(P, Q).sum().item())
    assert value == pytest.approx(1.2)


@pytest.mark.parametrize("loss", [NonSaturating(), Minimax(), LeastSquares(), Wasserstein(), Hinge()])
def test_finite_at_extreme_logits(loss: NonSaturating) -> None:
    for value in (-1e4, 1e4):
        logits = torch.full((3,), value, requires_grad=True)
        total = loss.discriminator(logits, logits) + loss.generator(logits)
        total.backward()
        assert torch.isfinite(total) and logits.grad is not None and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("loss", [NonSaturating(), Minimax(), LeastSquares(), Wasserstein(), Hinge()])
def test_the_generator_gains_when_its_logits_rise(loss: NonSaturating) -> None:
    """Every loss has the discriminator large on real samples, so that parts of different losses can be combined."""
    low, high = torch.tensor([0.1]), torch.tensor([0.6])
    assert loss.generator(high) < loss.generator(low)
    assert loss.real(high) < loss.real(low)
    assert loss.fake(high) > loss.fake(low)
