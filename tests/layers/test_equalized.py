"""Equalized learning rate: closed forms of Karras et al. (2018), section 4.1."""

import copy
from math import sqrt

import pytest
import torch
from torch import Tensor, nn

from gan_lab.layers.equalized import equalize

LAYERS = {
    "linear": (lambda: nn.Linear(512, 256), 512, (4096, 512)),
    "conv3x3": (lambda: nn.Conv2d(64, 32, 3), 64 * 9, (64, 64, 10, 10)),
    "conv1x1": (lambda: nn.Conv2d(512, 256, 1), 512, (16, 512, 8, 8)),
    # One of sixteen taps meets the single input pixel: the fan is sixteen times the number of inputs.
    "transposed": (lambda: nn.ConvTranspose2d(512, 64, 4), 512 * 16, (64, 512, 1, 1)),
}


def stored(layer: nn.Module) -> Tensor:
    return layer.get_parameter("parametrizations.weight.original")


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("gain", [1.0, sqrt(2)])
def test_weights_are_normal_and_used_scaled(name: str, gain: float) -> None:
    torch.manual_seed(0)
    make, fan_in, _ = LAYERS[name]
    layer = make()
    equalize(layer, gain)
    assert stored(layer).mean().item() == pytest.approx(0, abs=0.03)
    assert stored(layer).std().item() == pytest.approx(1, rel=0.03)
    torch.testing.assert_close(layer.weight, stored(layer) * (gain / sqrt(fan_in)))
    assert torch.count_nonzero(layer.bias) == 0


@pytest.mark.parametrize("name", LAYERS)
def test_output_of_unit_input_has_the_variance_gain_squared(name: str) -> None:
    torch.manual_seed(0)
    make, _, shape = LAYERS[name]
    layer = make()
    equalize(layer)
    with torch.no_grad():
        variance = layer(torch.randn(shape)).var().item()
    assert variance == pytest.approx(2 / 16 if name == "transposed" else 2, rel=0.05)


def test_equal_to_the_plain_layer_with_scaled_weights() -> None:
    torch.manual_seed(0)
    layer, x = nn.Conv2d(3, 5, 3), torch.randn(2, 3, 6, 6)
    equalize(layer, 1.0)
    nn.init.normal_(layer.bias)
    expected = torch.nn.functional.conv2d(x, stored(layer) / sqrt(27), layer.bias)  # the bias is not scaled
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("fan_in", [4, 400])
def test_one_step_of_adam_changes_the_scaled_weight_by_lr_times_scale(fan_in: int) -> None:
    """So all layers change at the same relative speed: Adam's first step has length lr."""
    torch.manual_seed(0)
    layer = nn.Linear(fan_in, 3)
    equalize(layer)
    before = layer.weight.detach().clone()
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2, betas=(0.0, 0.99))
    layer(torch.rand(5, fan_in) + 0.5).sum().backward()  # a gradient far above Adam's epsilon
    optimizer.step()
    change = (layer.weight - before).abs()
    torch.testing.assert_close(change, torch.full_like(change, 1e-2 * sqrt(2 / fan_in)), rtol=1e-3, atol=1e-7)


def test_copies_and_state_dicts_are_complete() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(4, 3), torch.randn(2, 4)
    equalize(layer)
    other = nn.Linear(4, 3)
    equalize(other)
    assert not torch.equal(other(x), layer(x))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), layer(x))
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))


def test_double_backward() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(4, 3, dtype=torch.float64)
    equalize(layer)
    x = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: layer(x).square(), x)


def test_a_layer_with_a_learning_rate_multiplier() -> None:
    """The same function at the start with larger stored numbers; Adam's first step changes the used ones by lr m."""
    torch.manual_seed(0)
    layer, x = nn.Linear(512, 256), torch.randn(64, 512)
    equalize(layer, 1.0, lr_multiplier=0.01)
    assert stored(layer).std().item() == pytest.approx(100, rel=0.02)
    torch.testing.assert_close(layer.weight, stored(layer) * 0.01 / sqrt(512))
    assert layer(x).var().item() == pytest.approx(1, rel=0.05)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    assert torch.count_nonzero(bias) == 0
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    layer(x).sum().backward()
    optimizer.step()
    torch.testing.assert_close((layer.weight - weight).abs(), torch.full_like(weight, 0.1 * 0.01 / sqrt(512)))
    torch.testing.assert_close(layer.bias, bias - 0.1 * 0.01)
