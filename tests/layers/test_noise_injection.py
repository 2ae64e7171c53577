"""Noise with a learned strength, and the learned constant."""

import pytest
import torch
from torch import Tensor

from gan_lab.layers.evaluation_noise import with_random_noise
from gan_lab.layers.learned_constant import LearnedConstant
from gan_lab.layers.noise_injection import NoiseInjection

X = torch.zeros(500, 2, 8, 8)


def make(noise: str = "random", strength: float = 0.5) -> NoiseInjection:
    torch.manual_seed(0)
    layer = NoiseInjection(8, noise)
    with torch.no_grad():
        layer.strength.fill_(strength)
    return layer


@pytest.mark.parametrize("noise", ["random", "fixed", "none"])
def test_no_effect_at_the_start(noise: str) -> None:
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(NoiseInjection(8, noise)(x), x)


def test_random_noise_in_training() -> None:
    """A map for each sample, the same for all channels, with the strength as standard deviation."""
    layer = make()
    y = layer(X)
    assert torch.equal(y[:, 0], y[:, 1]) and not torch.equal(y[0], y[1]) and not torch.equal(y, layer(X))
    assert y.std().item() == pytest.approx(0.5, rel=0.02) and y.mean().item() == pytest.approx(0, abs=0.01)
    (gradient,) = torch.autograd.grad(y[0].sum(), layer.strength)
    torch.testing.assert_close(gradient, y[0].sum() / 0.5)


def test_one_map_in_evaluation_mode_which_is_saved() -> None:
    layer, other = make().eval(), NoiseInjection(8).eval()
    y = layer(X)
    assert torch.equal(y, (0.5 * layer.map).expand_as(X)) and y.std() > 0
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(X), y)


def test_the_other_noises() -> None:
    assert torch.equal(make("fixed")(X), make("fixed").eval()(X)) and make("fixed")(X).std() > 0
    assert torch.equal(make("none")(X), X)
    with pytest.raises(
        ValueError, match=r"^architecture.generator.noise=white is not known; choose random, fixed or none$"
    ):
        NoiseInjection(8, "white")


def drawn(seed: int, layer: torch.nn.Module) -> list[Tensor]:
    network = with_random_noise(layer, seed)
    return [network(X[:4]), network(X[:4])]


def test_random_noise_of_samples_follows_from_the_seed() -> None:
    layer = torch.nn.Sequential(make(), make()).eval()
    first, second = drawn(1, layer)
    assert not torch.equal(first[0], first[1]) and not torch.equal(first, second)
    assert torch.equal(first, drawn(1, layer)[0]) and not torch.equal(first, drawn(2, layer)[0])
    assert first.std().item() == pytest.approx(0.5**0.5, rel=0.1)  # two independent maps
    assert torch.equal(layer(X[:1]), layer(X[:1]))  # the original network is unchanged
    with pytest.raises(ValueError, match=r"^the generator has no noise layers; set noise=fixed$"):
        with_random_noise(make("none"), 0)


def test_the_constant_is_the_same_for_all_samples() -> None:
    torch.manual_seed(0)
    constant = LearnedConstant(512)
    maps = constant(3)
    assert maps.shape == (3, 512, 4, 4) and torch.equal(maps[0], maps[2])
    assert maps.std().item() == pytest.approx(1, rel=0.05)
    assert [p.numel() for p in constant.parameters()] == [512 * 16]
