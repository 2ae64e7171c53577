"""Closed forms of the discriminator's penalties and constraints."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gan_lab.noise import Noise
from gan_lab.regularizers import functional as F
from gan_lab.regularizers import penalties
from gan_lab.regularizers.constraints import WeightClip
from gan_lab.regularizers.penalties import R1, R2, Consistency, DivergencePenalty, Dragan, Drift, GradientPenalty, LeCam
from tests.helpers.critic_steps import W, linear, points, step


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_gradient_penalty_of_a_linear_critic_at_any_epsilon(epsilon: float) -> None:
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


def test_each_sample_has_one_epsilon() -> None:
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


def test_r1_uses_real_and_r2_generated_samples() -> None:
    real, fake = points(4, 2), 5 * points(4, 2)
    assert R1()(step(half_square, real, fake)).item() == pytest.approx(0.5 * real.square().sum(1).mean().item())
    assert R2()(step(half_square, real, fake)).item() == pytest.approx(0.5 * fake.square().sum(1).mean().item())


def test_drift_is_the_mean_squared_logit_of_real_samples_only() -> None:
    real = points(4, 2)
    value = Drift()(step(linear(), real, 100 * real)).item()
    assert value == pytest.approx(linear()(real).square().mean().item(), rel=1e-5)
    assert Drift().weight == 1e-3


def half_square(x: Tensor) -> Tensor:
    return 0.5 * x.flatten(1).square().sum(1)


def packs(x: Tensor) -> Tensor:
    """A critic of packs of two consecutive samples, w (x_1, x_2) with |w| = 5 for each sample."""
    return x.reshape(len(x) // 2, -1) @ torch.cat([W, W])


@pytest.mark.parametrize(
    ("penalty", "value"),
    [
        (GradientPenalty(), (math.sqrt(50) - 1) ** 2),
        (Dragan(), (math.sqrt(50) - 1) ** 2),
        (DivergencePenalty(power=2), 50),
        (R1(), 25),
        (R2(), 25),
    ],
)
def test_gradient_of_a_pack_is_that_of_all_its_samples(penalty: Callable, value: float) -> None:
    """Two samples with |gradient| 5 each make a pack with |gradient| sqrt(50)."""
    assert penalty(step(packs, points(6, 2), points(6, 2) + 1)).item() == pytest.approx(value, rel=1e-12)


def test_rows_of_the_gradient_are_packs_of_consecutive_samples() -> None:
    x = points(4, 3)
    gradient = F.input_gradient(lambda y: half_square(y).view(2, 2).sum(1), x)
    assert torch.equal(gradient, torch.stack([torch.cat([x[0], x[1]]), torch.cat([x[2], x[3]])]))
    assert torch.equal(F.input_gradient(half_square, x.view(4, 1, 3)), x)


def test_interpolation_uses_the_critic_of_real_samples_and_r2_that_of_generated_ones() -> None:
    """Their critics differ where logits depend on labels."""
    outputs = step(linear(), points(4, 2), points(4, 2))
    outputs.fake.critic = linear(2 * W)
    assert GradientPenalty()(outputs).item() == pytest.approx(16)
    assert Dragan()(outputs).item() == pytest.approx(16)
    assert R1()(outputs).item() == pytest.approx(12.5)
    assert R2()(outputs).item() == pytest.approx(50)


def test_dragan_of_a_linear_critic() -> None:
    outputs = step(linear(), points(6, 2), math.nan * points(6, 2))  # only real samples are used
    assert Dragan()(outputs).item() == pytest.approx(16, abs=1e-10)
    assert Dragan(target=2)(outputs).item() == pytest.approx(9, abs=1e-10)


def test_dragan_evaluates_at_its_points() -> None:
    real, noise = points(6, 2), Noise(3, 6)
    expected = (Dragan().points(real, noise).norm(dim=1) - 1).square().mean().item()
    assert Dragan()(step(half_square, real, real, seed=3)).item() == pytest.approx(expected, abs=1e-12)


def test_dragan_perturbation() -> None:
    """Elementwise U[0, 1) times half the standard deviation of the batch, then one fraction for each sample."""
    samples = 3 * points(500, 3, 4, 4) + 1
    deviation = samples.std(correction=0).item()
    perturbed = F.perturb(samples, Noise(0, 500).uniform(3, 4, 4), 0.5)
    ratio = (perturbed - samples) / deviation
    assert ratio.min() >= 0 and 0.49 < ratio.max() < 0.5
    assert ratio.mean().item() == pytest.approx(0.25, abs=0.005)

    offset = (Dragan().points(samples, Noise(0, 500)) - samples) / deviation
    fraction = (offset / ratio).flatten(1)  # the same stream: the perturbation is drawn first
    assert torch.allclose(fraction, fraction[:, :1].expand_as(fraction), atol=1e-6)
    assert fraction.min() >= 0 and fraction.max() < 1
    assert fraction[:, 0].std().item() == pytest.approx(12**-0.5, abs=0.02)
    assert offset.mean().item() == pytest.approx(0.125, abs=0.005)


def lecam_step(real: list[float], fake: list[float]):
    """Logits are the samples themselves."""
    return step(lambda x: x[:, 0], torch.tensor(real)[:, None], torch.tensor(fake)[:, None])


def test_lecam_by_hand() -> None:
    penalty = LeCam(half_life_images=2)  # a batch of two real images halves the past
    # Averages (1, -1) of this batch: real 0 and 2 exceed -1 by 1 and 3; fake -3 and 1 lie 4 and 0 below 1.
    assert penalty(lecam_step([0.0, 2.0], [-3.0, 1.0])).item() == pytest.approx((1 + 9) / 2 + (16 + 0) / 2)
    # The batches weigh 1/4 and 1/2, in all 3/4: averages (1 + 2 * 4) / 3 = 3 and (-1 + 2 * 5) / 3 = 3.
    # Real 4, 4 exceed 3 by 1; fake 5, 5 are above 3 and add 0.
    assert penalty(lecam_step([4.0, 4.0], [5.0, 5.0])).item() == pytest.approx(1)
    assert (penalty.real_average.item(), penalty.fake_average.item()) == pytest.approx((3, 3))
    assert penalty.images.item() == 4


def test_lecam_averages_are_constants() -> None:
    logits = torch.tensor([[1.0], [3.0]], requires_grad=True)
    value = LeCam()(step(lambda x: x[:, 0], logits, torch.zeros(2, 1)))
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.allclose(gradient, logits.detach())  # 2 (C - 0) / n


def test_lecam_decay_of_the_authors() -> None:
    penalty = LeCam(half_life_images=50 * math.log(0.5) / math.log(0.99))
    penalty(lecam_step([0.0] * 50, [0.0] * 50))
    penalty(lecam_step([1.0] * 50, [2.0] * 50))
    weight = 0.01 / (1 - 0.99**2)  # of the second batch
    assert (penalty.real_average.item(), penalty.fake_average.item()) == pytest.approx((weight, 2 * weight), rel=1e-4)


def test_lecam_averages_are_the_current_means_until_it_begins() -> None:
    """As in the authors' code for BigGAN: no memory before, the first average from the last of these means."""
    penalty = LeCam(half_life_images=2, begin_images=6)  # a batch of two real images halves the past
    for real, fake in ((8.0, -8.0), (2.0, 1.0)):
        assert penalty(lecam_step([real] * 2, [fake] * 2)).item() == 0
        assert (penalty.real_average.item(), penalty.fake_average.item()) == (real, fake)
    assert penalty(lecam_step([4.0] * 2, [3.0] * 2)).item() == 0  # averages (2 + 4) / 2 and (1 + 3) / 2
    assert (penalty.real_average.item(), penalty.fake_average.item()) == (3, 2)
    # Averages (3 + 5) / 2 = 4 and (2 + 4) / 2 = 3: real 5, 5 exceed 3 by 2, and fake 4, 4 are at 4.
    assert penalty(lecam_step([5.0] * 2, [4.0] * 2)).item() == pytest.approx(4)


def test_lecam_begins_late_and_counts_images_between_evaluations() -> None:
    penalty = LeCam(begin_images=6, interval=3)
    assert penalty(lecam_step([1.0, 1.0], [0.0, 0.0])).item() == 0
    assert penalty.images.item() == 6
    assert penalty(lecam_step([1.0, 1.0], [0.0, 0.0])).item() > 0


def test_lecam_averages_are_in_the_state_dict() -> None:
    first, second = LeCam(), LeCam()
    first(lecam_step([1.0, 2.0], [0.0, -1.0]))
    second.load_state_dict(first.state_dict())
    outputs = lecam_step([0.5, 2.5], [0.1, -2.0])
    assert first(outputs).item() == second(outputs).item() != LeCam()(outputs).item()


def test_lecam_averages_over_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(penalties, "mean_over_processes", lambda means: means + 10)
    monkeypatch.setattr(penalties, "num_processes", lambda: 4)
    penalty = LeCam()
    penalty(lecam_step([1.0, 1.0], [0.0, 0.0]))
    assert (penalty.real_average.item(), penalty.fake_average.item(), penalty.images.item()) == (11, 10, 8)


@pytest.mark.parametrize("key", ["half_life_images", "begin_images"])
def test_lecam_refuses_negative_durations(key: str) -> None:
    with pytest.raises(ValueError, match=f"^{key}=-1 .* at least 0"):
        LeCam(**{key: -1})


def brighten(images: Tensor, noise: Noise) -> Tensor:
    """Add one to every pixel."""
    return images + 1


@pytest.mark.parametrize(("fake_ratio", "value"), [(0.0, 4.0), (1.0, 8.0), (0.5, 6.0)])
def test_consistency_of_a_linear_critic(fake_ratio: float, value: float) -> None:
    """w sums to 2, so adding one to every pixel changes every logit by 2, and the squared difference is 4."""
    weights = torch.full((8,), 0.25, dtype=torch.float64)
    outputs = step(linear(weights), points(3, 2, 2, 2), points(3, 2, 2, 2) + 5)
    assert Consistency(brighten, fake_ratio=fake_ratio)(outputs).item() == pytest.approx(value, abs=1e-12)
    assert Consistency(lambda images, noise: images, fake_ratio=fake_ratio)(outputs).item() == 0


def test_consistency_gradient_passes_through_both_logits() -> None:
    weights = torch.full((8,), 0.25, dtype=torch.float64, requires_grad=True)
    images = points(3, 2, 2, 2)
    Consistency(lambda x, noise: 2 * x)(step(linear(weights), images, images)).backward()
    flat, w = images.flatten(1), weights.detach()
    assert weights.grad is not None and torch.allclose(weights.grad, 2 * (flat @ w) @ flat / 3)


def test_plain_consistency_ignores_generated_images() -> None:
    seen: list[Tensor] = []

    def record(images: Tensor, noise: Noise) -> Tensor:
        seen.append(images)
        return images

    real, fake = points(3, 2, 2, 2), points(3, 2, 2, 2) + 5
    Consistency(record)(step(linear(torch.ones(8).double()), real, fake))
    assert len(seen) == 1 and torch.equal(seen[0], real)


def test_consistency_refuses_a_negative_ratio() -> None:
    with pytest.raises(ValueError, match=r"fake_ratio=-1 .* at least 0"):
        Consistency(brighten, fake_ratio=-1)


def test_norms_and_powers_that_cannot_be_meant() -> None:
    refused: list[tuple[type, dict[str, float]]] = [
        (GradientPenalty, {"target": 0}),  # which the penalty is divided by
        (GradientPenalty, {"target": -1}),
        (Dragan, {"target": -1}),
        (Dragan, {"noise_scale": -1}),
        (DivergencePenalty, {"power": 0}),
    ]
    for penalty, options in refused:
        with pytest.raises(ValueError, match=rf"^{next(iter(options))}=-?\d is not allowed"):
            penalty(**options)


def test_weight_clip_bounds_parameters_but_not_buffers() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    WeightClip(0.01)(network)
    assert all(p.abs().max() <= 0.01 for p in network.parameters())
    assert torch.equal(network[1].running_var, torch.ones(4))


def test_clipped_linear_critic_finds_the_distance_times_the_limit() -> None:
    """1-D, fake = real + 2.5: the best clipped critic -0.01 x reports 0.01 times the exact Wasserstein distance 2.5."""
    critic = nn.Linear(1, 1, bias=False)
    real = points(50, 1).float()
    optimizer = torch.optim.SGD(critic.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        (critic(real + 2.5).mean() - critic(real).mean()).backward()
        optimizer.step()
        WeightClip(0.01)(critic)
    assert (critic(real).mean() - critic(real + 2.5).mean()).item() == pytest.approx(0.025, abs=1e-6)
