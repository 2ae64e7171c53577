"""Statistics of the initial weights."""

from collections.abc import Callable
from math import sqrt
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_lab.layers.initialization import SCHEMES, initialize

# Layer and its fans by hand: connections of one output unit, and of one input unit.
LAYERS: dict[str, tuple[Callable[[], Any], int, int]] = {
    "linear": (lambda: nn.Linear(300, 200), 300, 200),
    "conv": (lambda: nn.Conv2d(48, 96, 3, 1, 1), 48 * 9, 96 * 9),
    "strided conv": (lambda: nn.Conv2d(48, 96, 4, 2, 1), 48 * 16, 96 * 4),
    "grouped conv": (lambda: nn.Conv2d(64, 128, 3, groups=2), 32 * 9, 64 * 9),
    "transposed conv": (lambda: nn.ConvTranspose2d(96, 48, 4, 2, 1), 96 * 4, 48 * 16),
}
STD = {
    "normal": lambda scale, fan_in, fan_out: scale,
    "uniform": lambda scale, fan_in, fan_out: scale / sqrt(3),
    "glorot": lambda scale, fan_in, fan_out: scale * sqrt(2 / (fan_in + fan_out)),
    "he": lambda scale, fan_in, fan_out: scale * sqrt(2 / fan_in),
}


def drawn(layer: nn.Module, scheme: str, scale: float) -> Tensor:
    torch.manual_seed(0)
    initialize(layer, scheme, scale)
    assert isinstance(layer.weight, Tensor)
    return layer.weight.detach()


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("scheme", STD)
@pytest.mark.parametrize("scale", [0.02, 1.5])
def test_standard_deviation(name: str, scheme: str, scale: float) -> None:
    make, fan_in, fan_out = LAYERS[name]
    weight = drawn(make(), scheme, scale)
    std = STD[scheme](scale, fan_in, fan_out)
    assert weight.std().item() == pytest.approx(std, rel=0.05)
    assert abs(weight.mean().item()) < 0.05 * std


@pytest.mark.parametrize("scheme", ["uniform", "glorot", "he"])
def test_uniform_schemes_are_uniform(scheme: str) -> None:
    weight = drawn(nn.Linear(300, 200), scheme, 0.1)
    assert weight.abs().max().item() == pytest.approx(sqrt(3) * weight.std().item(), rel=0.02)


def test_normal_has_tails() -> None:
    weight = drawn(nn.Linear(300, 200), "normal", 0.02)
    assert 3.5 * 0.02 < weight.abs().max().item() < 6 * 0.02


def test_glorot_with_sqrt_two_is_the_he_variant_of_wgan_gp() -> None:
    weight = drawn(nn.Conv2d(64, 128, 3), "glorot", sqrt(2))
    assert weight.std().item() == pytest.approx(sqrt(4 / (64 * 9 + 128 * 9)), rel=0.02)


@pytest.mark.parametrize("layer", [nn.Linear(60, 40), nn.Linear(40, 60), nn.Conv2d(8, 40, 3)])
def test_orthogonal(layer: nn.Module) -> None:
    matrix = drawn(layer, "orthogonal", 1.5).flatten(1)
    small = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    torch.testing.assert_close(small, 1.5**2 * torch.eye(small.shape[0]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("make", [lambda: nn.Linear(4, 4), lambda: nn.Conv2d(4, 4, 3), lambda: nn.BatchNorm2d(4)])
def test_default_changes_nothing(make: Callable[..., Any]) -> None:
    layer = make()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    initialize(layer, "default", 0.5)
    for name, tensor in layer.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if scheme != "default"])
@pytest.mark.parametrize("name", LAYERS)
def test_biases_are_zero(scheme: str, name: str) -> None:
    layer = LAYERS[name][0]()
    initialize(layer, scheme, 0.02)
    assert torch.count_nonzero(layer.bias) == 0


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if scheme != "default"])
@pytest.mark.parametrize("make", [nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, lambda c: nn.GroupNorm(1, c)])
def test_norms(scheme: str, make: Callable[..., Any]) -> None:
    norm = make(4000)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    gain = drawn(norm, scheme, 0.02)
    if scheme == "normal" and isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
        assert gain.mean().item() == pytest.approx(1.0, abs=0.002)
        assert gain.std().item() == pytest.approx(0.02, rel=0.05)
    else:
        assert torch.all(gain == 1)
    assert torch.count_nonzero(norm.bias) == 0


def test_norm_without_gains() -> None:
    initialize(nn.BatchNorm2d(4, affine=False), "normal", 0.02)


def test_reaches_nested_layers() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 4)))
    initialize(network, "uniform", 0.0)
    assert all(torch.count_nonzero(parameter) == 0 for parameter in network.parameters())


def test_unknown_scheme() -> None:
    with pytest.raises(ValueError, match=r"^init must be one of normal, uniform, .*default, not 'xavier'$"):
        initialize(nn.Linear(1, 1), "xavier", 1.0)
