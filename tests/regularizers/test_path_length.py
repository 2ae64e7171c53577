"""Path length regularization: closed forms of a linear generator, with lengths |A^T y|, and lazy updates."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_lab.gans.gan import GAN
from gan_lab.noise import Noise
from gan_lab.regularizers.functional import path_lengths
from gan_lab.regularizers.path_length import PathLength
from gan_lab.step import DiscriminatorOutputs, Samples, Step
from tests.helpers.points_gan import StepCounter, adam, make_gan, train

A = torch.tensor([[3.0, 1.0, 0.0], [4.0, 0.0, 2.0]])


class Linear(nn.Module):
    """Points A z of latents (n, 3)."""

    def __init__(self, a: Tensor = A) -> None:
        super().__init__()
        self.a = nn.Parameter(a.clone())

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        return latents @ self.a.T


def step(network: nn.Module, count: int = 6, seed: int = 0, rows: slice = slice(None)) -> Step:
    latents = Noise(7, count, rows).normal(3)
    outputs = DiscriminatorOutputs(nn.Identity(), lambda: Samples(network(latents), None, latents))
    return Step(network, outputs, outputs, Noise(seed, count, rows))


def lengths(count: int, seed: int = 0) -> Tensor:
    """|A^T y| of the first samples of six."""
    return (Noise(seed, 6).normal(2)[:count] @ A).norm(dim=1)


def test_lengths_are_those_of_the_transposed_matrix() -> None:
    latents, noise = torch.randn(6, 3, requires_grad=True), torch.randn(6, 2)
    torch.testing.assert_close(path_lengths(Linear()(latents), latents, noise), (noise @ A).norm(dim=1))


def test_noise_is_divided_by_the_root_of_the_number_of_pixels() -> None:
    """Images of 2 x 3 pixels that are each the sum of the latents: |J^T y| = |sum y| sqrt(3) / sqrt(6)."""
    latents, noise = torch.randn(5, 3, requires_grad=True), torch.randn(5, 1, 2, 3)
    images = latents.sum(1).view(5, 1, 1, 1).expand(5, 1, 2, 3)
    expected = noise.sum((1, 2, 3)).abs() * 3**0.5 / 6**0.5
    torch.testing.assert_close(path_lengths(images, latents, noise), expected)


def test_several_layers_of_latents_are_averaged() -> None:
    """Latents (n, layers, dim): the root of the mean over the layers."""
    latents, noise = torch.randn(6, 4, 3, requires_grad=True), torch.randn(6, 2)
    samples = Linear()(latents[:, 0])  # the other three layers have no effect
    torch.testing.assert_close(path_lengths(samples, latents, noise), (noise @ A).norm(dim=1) / 2)


@pytest.mark.parametrize(("fraction", "count"), [(1.0, 6), (0.5, 3), (0.01, 1)])
def test_value(fraction: float, count: int) -> None:
    """The moving average starts at 0 and includes the current lengths."""
    penalty, network = PathLength(fraction=fraction), Linear()
    expected = lengths(count)
    mean = 0.01 * expected.mean()
    value = penalty(step(network))
    torch.testing.assert_close(value, torch.square(expected - mean).mean())
    torch.testing.assert_close(penalty.mean, mean)
    value.backward()
    assert network.a.grad.abs().sum() > 0 and not penalty.mean.requires_grad


def test_the_gradient_passes_the_mean() -> None:
    network, penalty = Linear(), PathLength(decay=0.25, fraction=1.0)
    noise = Noise(0, 6).normal(2)
    each = (noise @ network.a).norm(dim=1)
    (expected,) = torch.autograd.grad(torch.square(each - 0.25 * each.mean()).mean(), network.a)
    penalty(step(network)).backward()
    torch.testing.assert_close(network.a.grad, expected)


def test_processes_have_the_mean_of_their_values_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of rows 0, 2, 4 and 1, 3, 5 of a batch, with the mean length of both."""
    network, penalty = Linear(), PathLength(decay=0.25, fraction=1.0)
    value = penalty(step(network))
    value.backward()
    mean = lengths(6).mean()
    monkeypatch.setattr("gan_lab.regularizers.path_length.mean_over_processes", lambda local: mean)
    parts = [Linear(), Linear()]
    values = []
    for rank, part in enumerate(parts):
        of_part = PathLength(decay=0.25, fraction=1.0)
        values.append(of_part(step(part, rows=slice(rank, 6, 2))))
        values[-1].backward()
        assert of_part.mean == penalty.mean
    torch.testing.assert_close(sum(values) / 2, value)
    torch.testing.assert_close((parts[0].a.grad + parts[1].a.grad) / 2, network.a.grad)


def test_lengths_equal_to_the_mean_give_zero() -> None:
    """One sample and decay 1: the mean is its own length."""
    assert PathLength(decay=1.0, fraction=0.01)(step(Linear())).item() == 0


def test_moving_average_after_two_evaluations() -> None:
    penalty = PathLength(decay=0.25, fraction=1.0)
    penalty(step(Linear(), seed=0))
    value = penalty(step(Linear(), seed=1))
    first, second = lengths(6, 0), lengths(6, 1)
    mean = 0.75 * 0.25 * first.mean() + 0.25 * second.mean()
    torch.testing.assert_close(penalty.mean, mean)
    torch.testing.assert_close(value, torch.square(second - mean).mean())


@pytest.mark.parametrize("options", [{"decay": 0.0}, {"decay": 1.5}, {"fraction": 0.0}, {"fraction": 2.0}])
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    (key,) = options
    with pytest.raises(ValueError, match=rf"^{key}=.* is not allowed: it must be in \(0, 1\]$"):
        PathLength(**options)


def make(**settings: Any) -> GAN:
    return make_gan(optimizer=adam(0.01), penalties={"path_length": PathLength()}, **settings)


def test_a_lazy_update_on_every_fourth_of_the_generator() -> None:
    """Gain 4, with lr * 4/5 and betas ** (4/5) in the generator's Adam; the discriminator's optimizer is unchanged."""
    gan, counter = make(), StepCounter()
    trainer = train(gan, 8, counter)
    assert counter.steps == {"discriminator": list(range(1, 9)), "generator": [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]}
    (lazy,) = [update for update in gan.runner.updates if update.lazy]
    assert (lazy.name, lazy.interval, lazy.gain) == ("generator/path_length", 4, 4)
    due = [number for number, record in enumerate(gan.records, 1) if "generator/path_length" in record]
    assert due == [4, 8]
    groups = [optimizer.param_groups[0] for optimizer in trainer.optimizers]
    assert (groups[0]["lr"], groups[0]["betas"]) == (0.01, (0.5, 0.9))
    assert groups[1]["lr"] == pytest.approx(0.01 * 4 / 5) and groups[1]["betas"] == pytest.approx((0.5**0.8, 0.9**0.8))


def test_a_lazy_update_generates_the_fraction_of_the_batch_only() -> None:
    gan, counts = make(), []
    gan.generator.register_forward_pre_hook(lambda _, inputs: counts.append(len(inputs[0])))
    train(gan, 4)
    size = counts[0]
    assert counts == [size] * 8 + [size // 2]  # both players in each batch, and the penalty at the last one


def test_interval_counts_updates_of_the_generator() -> None:
    gan, counter = make(n_critic=2), StepCounter()
    train(gan, 16, counter)
    assert counter.steps["generator"] == [2, 4, 6, 8, 8, 10, 12, 14, 16, 16]


def test_the_mean_is_in_the_state_dict() -> None:
    gan, other = make(), make()
    train(gan, 4)
    saved = gan.state_dict()
    key = "penalties.generator/path_length.mean"
    assert saved[key] > 0
    other.load_state_dict(saved)
    assert other.penalties.of("generator")["path_length"].mean == saved[key]


def test_a_generator_with_batch_norm_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^regularizer=path_length .* BatchNorm1d in the generator mixes the samples"):
        make(norm=True)


class Styles(nn.Module):
    """Two layers of styles, the same tanh(B z)."""

    gives_styles = True

    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.randn(3, 3))

    def forward(self, latents: Tensor) -> Tensor:
        return torch.stack([torch.tanh(latents @ self.b)] * 2, 1)


class Styled(Linear):
    """Points A s_1 + 2 A s_2 of styles s."""

    def __init__(self) -> None:
        super().__init__()
        self.styles = Styles()

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        styles = self.styles(latents)
        return (styles[:, 0] + 2 * styles[:, 1]) @ self.a.T


def test_lengths_in_styles() -> None:
    """The root mean square over the layers of |A^T y| and |2 A^T y|."""
    network, expected = Styled(), lengths(6) * (5 / 2) ** 0.5
    value = PathLength(fraction=1.0, decay=1.0)(step(network))
    torch.testing.assert_close(value, torch.square(expected - expected.mean()).mean())
    assert not network.styles._forward_hooks


def test_the_gradient_reaches_the_layers_before_the_styles() -> None:
    class Curved(Styled):
        def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
            return self.styles(latents).sum(1).square() @ self.a.T

    network = Curved()
    PathLength(fraction=1.0)(step(network)).backward()
    assert network.styles.b.grad.abs().sum() > 0
