"""Closed forms of the adversarial losses."""

import math
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra.utils import instantiate
from torch import Tensor

from gan_lab.config.schema import CONF
from gan_lab.losses import adversarial, dual
from gan_lab.losses.adversarial import (
    BoundaryCrossEntropy,
    BoundarySeeking,
    Hinge,
    LeastSquares,
    Minimax,
    MultiAgent,
    NonSaturating,
    Relativistic,
    RelativisticAverageHinge,
    Wasserstein,
)

P = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
Q = torch.tensor([0.4, 0.1, 0.4, 0.1], dtype=torch.float64)


def expected(loss_of_one, weights: Tensor, logits: Tensor) -> float:
    """Expectation over a discrete distribution of a loss that is a batch mean."""
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
def test_gradient_where_the_discriminator_is_confident(loss: NonSaturating, gradient: float) -> None:
    logit = torch.tensor([-10.0], dtype=torch.float64, requires_grad=True)
    loss.generator(logit).backward()
    assert logit.grad is not None
    assert logit.grad.item() == pytest.approx(gradient, rel=1e-6)


def test_least_squares_at_equal_distributions() -> None:
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


LN2 = math.log(2)
AT_ZERO_AND_ONE: dict[type, tuple[Any, float, float]] = {
    # loss, discriminator's loss and generator's loss at C(x) = 1, C(G(z)) = 0
    Minimax: (Minimax(), math.log1p(math.exp(-1)) + LN2, -LN2),
    NonSaturating: (NonSaturating(), math.log1p(math.exp(-1)) + LN2, LN2),
    MultiAgent: (MultiAgent(4), math.log1p(math.exp(-1)) + 4 * LN2, LN2),
    BoundaryCrossEntropy: (BoundaryCrossEntropy(), math.log1p(math.exp(-1)) + LN2, LN2),
    BoundarySeeking: (BoundarySeeking(), math.log1p(math.exp(-1)) + LN2, 0.0),
    LeastSquares: (LeastSquares(), 0.0, 0.5),
    Wasserstein: (Wasserstein(), -1.0, 0.0),
    Hinge: (Hinge(), 1.0, 0.0),
    Relativistic: (Relativistic(), math.log1p(math.exp(-1)), math.log1p(math.e)),
    RelativisticAverageHinge: (RelativisticAverageHinge(), 0.0, 4.0),
}
ALL = [loss for loss, _, _ in AT_ZERO_AND_ONE.values()]
SEPARABLE = [loss for loss in ALL if not loss.relative]
RELATIVE = [loss for loss in ALL if loss.relative]


def test_every_loss_has_a_row_and_every_file_a_loss() -> None:
    """`Dual` is tested in test_dual.py."""
    public = {c for module in (adversarial, dual) for c in vars(module).values() if is_dataclass(c)}
    assert public == set(AT_ZERO_AND_ONE) | {dual.Dual}
    targets = {yaml.safe_load(file.read_text())["_target_"] for file in (CONF / "loss").glob("*.yaml")}
    assert targets == {f"{c.__module__}.{c.__name__}" for c in public}


@pytest.mark.parametrize("row", AT_ZERO_AND_ONE.values(), ids=lambda row: type(row[0]).__name__)
def test_values_at_one_and_zero(row: tuple[Any, float, float]) -> None:
    loss, discriminator, generator = row
    real, fake = torch.ones(3, dtype=torch.float64), zeros(3)
    assert loss.discriminator(real, fake).item() == pytest.approx(discriminator, abs=1e-12)
    assert loss.generator(fake, real).item() == pytest.approx(generator, abs=1e-12)


def derivative_of_a_shift(loss: Any, at: float) -> tuple[float, float]:
    """Derivative of both losses in a constant that is added to every logit of real and generated samples."""
    shift = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    logits = torch.zeros(4, dtype=torch.float64) + shift
    (by_discriminator,) = torch.autograd.grad(loss.discriminator(logits, logits), shift, retain_graph=True)
    (by_generator,) = torch.autograd.grad(loss.generator(logits, logits), shift)
    return by_discriminator.item(), by_generator.item()


@pytest.mark.parametrize("loss", [*ALL, LeastSquares(-1.0, 1.0, 0.0)])
def test_boundary_is_the_optimal_logit_at_equal_distributions(loss: Any) -> None:
    """A loss with a boundary is stationary only there; a loss without one does not depend on a common shift."""
    assert derivative_of_a_shift(loss, loss.boundary or 0.0)[0] == pytest.approx(0, abs=1e-12)
    far = derivative_of_a_shift(loss, 5.0)[0]
    assert (far == pytest.approx(0, abs=1e-12)) == (loss.boundary is None)


def test_boundaries() -> None:
    assert LeastSquares().boundary == 0.5 and LeastSquares(-1.0, 1.0, 0.0).boundary == 0
    assert {type(loss) for loss in ALL if loss.boundary is None} == {Wasserstein, *map(type, RELATIVE)}


TWO = [Q, torch.tensor([0.1, 0.4, 0.1, 0.4], dtype=torch.float64)]
"""Distributions of two generators."""


def divergence(p: Tensor, q: Tensor) -> float:
    """KL(p || q)."""
    return (p * (p / q).log()).sum().item()


@pytest.mark.parametrize(
    ("generators", "value"), [(1, -1.386294), (2, -1.909543), (4, -2.502012), (8, -3.139489), (10, -3.350997)]
)
def test_value_of_several_generators_at_the_solution(generators: int, value: float) -> None:
    """-(K + 1) ln(K + 1) + K ln K: the probability of the data is 1 / (K + 1) everywhere."""
    loss = MultiAgent(generators)
    logits = torch.full((3,), loss.boundary, dtype=torch.float64)
    assert torch.sigmoid(logits)[0].item() == pytest.approx(1 / (generators + 1), abs=1e-12)
    assert -loss.discriminator(logits, logits).item() == pytest.approx(value, abs=1e-6)


def test_value_of_two_generators() -> None:
    """Above its minimum by KL(p || m) + K KL(mixture || m), m = (p + K mixture) / (K + 1), for the optimal logits."""
    loss, mixture = MultiAgent(2), sum(TWO) / 2
    logits = torch.log(P / sum(TWO))
    value = -(expected(loss.real, P, logits) + expected(loss.fake, mixture, logits))
    middle = (P + 2 * mixture) / 3
    excess = divergence(P, middle) + 2 * divergence(mixture, middle)
    assert excess == pytest.approx(0.0729010581, abs=1e-10)
    assert value == pytest.approx(-3 * math.log(3) + 2 * math.log(2) + excess, abs=1e-12)


def test_value_of_a_mixture_with_a_classifier() -> None:
    """MGAN: 2 JSD(data, mixture) - log 4 - beta (JSD of the generators - log K), minimax form, for optimal outputs."""
    loss, mixture, beta = Minimax(), sum(TWO) / 2, 0.5
    logits = torch.log(P / mixture)
    value = -(expected(loss.real, P, logits) + expected(loss.fake, mixture, logits))
    entropy = -sum(0.5 * (q * (q / sum(TWO)).log()).sum().item() for q in TWO)  # of the classifier
    middle = (P + mixture) / 2
    of_data = 0.5 * (divergence(P, middle) + divergence(mixture, middle))
    of_generators = sum(0.5 * divergence(q, mixture) for q in TWO)
    assert (2 * of_data, of_generators) == pytest.approx((0.0557312269, 0.1927447570), abs=1e-10)
    assert value + beta * entropy == pytest.approx(-1.0803619224, abs=1e-10)
    assert value + beta * entropy == pytest.approx(
        2 * of_data - math.log(4) - beta * (of_generators - math.log(2)), abs=1e-12
    )


def test_boundary_seeking_has_the_logit_as_gradient() -> None:
    """Half the mean of C^2: zero at C = 0, gradient C / n."""
    logits = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    loss = BoundarySeeking().generator(logits)
    loss.backward()
    assert loss.item() == pytest.approx(13 / 6)
    assert logits.grad is not None and torch.allclose(logits.grad, logits.detach() / 3)
    assert BoundarySeeking().generator(zeros()).item() == 0
    d = torch.sigmoid(logits.detach())
    assert loss.item() == pytest.approx(0.5 * (d.log() - (1 - d).log()).square().mean().item(), rel=1e-5)


def test_relativistic_at_equal_scores() -> None:
    scores = torch.tensor([0.3, -2.0, 5.0], dtype=torch.float64)
    assert Relativistic().discriminator(scores, scores).item() == pytest.approx(LN2, abs=1e-12)
    assert Relativistic().generator(scores, scores).item() == pytest.approx(LN2, abs=1e-12)
    same = torch.full((3,), 7.0)
    assert RelativisticAverageHinge().discriminator(same, same).item() == 2
    assert RelativisticAverageHinge().generator(same, same).item() == 2


def test_relativistic_pairs_in_the_order_of_the_batch() -> None:
    real, fake = torch.tensor([1.0, 4.0]), torch.tensor([0.0, 6.0])
    expected = (math.log1p(math.exp(-1)) + math.log1p(math.exp(2))) / 2
    assert Relativistic().discriminator(real, fake).item() == pytest.approx(expected, rel=1e-6)


def test_relativistic_average_hinge_by_hand() -> None:
    """Real (1, 3) has mean 2, fake (0, 0.5) mean 0.25; r = (0.75, 2.75), f = (-2, -1.5)."""
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.5])
    assert RelativisticAverageHinge().discriminator(real, fake).item() == pytest.approx(0.25 / 2)
    assert RelativisticAverageHinge().generator(fake, real).item() == pytest.approx((1.75 + 3.75) / 2 + (3 + 2.5) / 2)


@pytest.mark.parametrize("loss", RELATIVE)
def test_relative_losses_ignore_a_global_bias(loss: Any) -> None:
    real, fake = torch.tensor([0.2, -1.0, 0.4]).double(), torch.tensor([0.1, 0.3, -0.7]).double()
    bias = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    for value, shifted in (
        (loss.discriminator(real + bias, fake + bias), loss.discriminator(real + 9, fake + 9)),
        (loss.generator(fake + bias, real + bias), loss.generator(fake + 9, real + 9)),
    ):
        assert shifted.item() == pytest.approx(value.item(), abs=1e-12)
        assert torch.autograd.grad(value, bias)[0].item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("loss", RELATIVE)
def test_relative_losses_require_real_logits(loss: Any) -> None:
    with pytest.raises(ValueError, match="real_logits"):
        loss.generator(zeros())


@pytest.mark.parametrize("loss", SEPARABLE)
def test_separable_losses_ignore_real_logits(loss: Any) -> None:
    logits = torch.tensor([0.1, 2.0])
    assert torch.equal(loss.generator(logits), loss.generator(logits, logits + 100))


@pytest.mark.parametrize("loss", ALL)
def test_finite_at_extreme_logits(loss: Any) -> None:
    for value in (-1e4, 1e4):
        logits = torch.full((3,), value, requires_grad=True)
        other = torch.full((3,), -value)
        total = loss.discriminator(logits, other) + loss.generator(logits, other)
        total.backward()
        assert torch.isfinite(total) and logits.grad is not None and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("loss", ALL)
def test_the_generator_loss_falls_as_its_logits_rise(loss: Any) -> None:
    """In every loss the discriminator is high on real samples, so that terms of different losses can be combined."""
    low, middle, high = torch.tensor([0.1]), torch.tensor([0.3]), torch.tensor([0.6])
    assert loss.generator(low - 1, middle) > loss.generator(high - 1, middle)  # below the boundary of BGAN
    assert loss.discriminator(high, middle) < loss.discriminator(low, middle)
    assert loss.discriminator(middle, high) > loss.discriminator(middle, low)


@pytest.mark.parametrize("loss", SEPARABLE)
def test_separable_losses_are_the_sum_of_their_terms(loss: Any) -> None:
    real, fake = torch.tensor([0.3, 2.0]), torch.tensor([0.1, -1.0])
    assert torch.equal(loss.discriminator(real, fake), loss.real(real) + loss.fake(fake))


@pytest.mark.parametrize("file", sorted((CONF / "loss").glob("*.yaml")), ids=lambda file: file.stem)
def test_zero_sum_is_declared_exactly_where_it_holds(file: Path) -> None:
    """Zero-sum: the generator's loss is minus the discriminator's fake term at every logit, up to a constant."""
    loss = instantiate(yaml.safe_load(file.read_text()))
    if isinstance(loss, dual.Dual) or loss.relative:
        assert not getattr(loss, "zero_sum", False)
        return
    logits = [torch.full((3,), value, dtype=torch.float64) for value in (-3.0, -0.4, 0.0, 0.7, 2.5)]
    sums = torch.stack([loss.generator(each) + loss.fake(each) for each in logits])
    assert loss.zero_sum == torch.allclose(sums, sums[0].expand(5), atol=1e-12)
