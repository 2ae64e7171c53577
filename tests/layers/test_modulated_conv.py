"""Modulated convolution: closed forms, and the equal form with a group for each sample."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.layers.equalized import equalize
from gan_lab.layers.modulated_conv import ModulatedConv2d

FORMS = [{}, {"up": True}, {"demodulate": False}, {"kernel": 1, "demodulate": False}]


def make(**options) -> ModulatedConv2d:
    torch.manual_seed(0)
    layer = ModulatedConv2d(5, 6, 7, **options)
    for part in (layer.affine, layer.conv):
        equalize(part, 1.0)
    nn.init.ones_(layer.affine.bias)
    return layer


def inputs(count: int = 3) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(1)
    return torch.randn(count, 6, 8, 8, generator=source), torch.randn(count, 5, generator=source)


def sample_weights(layer: ModulatedConv2d, style: Tensor) -> Tensor:
    """The weights of each sample, (n, outputs, inputs, k, k)."""
    weight = layer.conv.weight.transpose(0, 1) if layer.up else layer.conv.weight
    weights = layer.affine(style)[:, None, :, None, None] * weight
    return weights / (weights.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt() if layer.demodulate else weights


def by_groups(layer: ModulatedConv2d, x: Tensor, style: Tensor) -> Tensor:
    """A convolution with a group for each sample; before it, `up` puts zeros between the pixels."""
    weights = sample_weights(layer, style)
    n, outputs, _, k, _ = weights.shape
    if not layer.up:
        return F.conv2d(x.flatten(0, 1)[None], weights.flatten(0, 1), padding=k // 2, groups=n).unflatten(
            1, (n, outputs)
        )[0]
    zeros = x.new_zeros(*x.shape[:2], 16, 16)
    zeros[..., ::2, ::2] = x
    # A true convolution: the kernel is flipped against PyTorch's.
    wide = F.conv2d(F.pad(zeros, (2, 1, 2, 1)).flatten(0, 1)[None], weights.flip(3, 4).flatten(0, 1), groups=n)
    taps = torch.tensor([1.0, 3, 3, 1], dtype=x.dtype) / 4
    wide = wide.view(n * outputs, 1, *wide.shape[2:])
    return F.conv2d(F.pad(wide, (1, 1, 1, 1)), torch.outer(taps, taps)[None, None]).view(n, outputs, 16, 16)


@pytest.mark.parametrize("options", FORMS)
def test_equals_the_form_with_a_group_for_each_sample(options: dict) -> None:
    layer, (x, style) = make(**options), inputs()
    torch.testing.assert_close(layer(x, style), by_groups(layer, x, style), rtol=0, atol=1e-5)
    layer, x, style = layer.double(), x.double(), style.double()
    torch.testing.assert_close(layer(x, style), by_groups(layer, x, style), rtol=0, atol=1e-13)


@pytest.mark.parametrize("up", [False, True])
def test_demodulated_weights_have_norm_one(up: bool) -> None:
    """For each sample and output channel, and whatever the size of weights and style."""
    layer, (x, style) = make(up=up).double(), inputs()
    x, style = x.double(), style.double()
    norms = sample_weights(layer, style).square().sum((2, 3, 4))
    torch.testing.assert_close(norms, torch.ones_like(norms), rtol=0, atol=1e-6)
    before = layer(x, style)
    with torch.no_grad():
        layer.affine.get_parameter("parametrizations.weight.original").mul_(3)
        layer.affine.bias.mul_(3)
        layer.conv.get_parameter("parametrizations.weight.original").mul_(5)
    torch.testing.assert_close(layer(x, style), before, rtol=1e-6, atol=1e-6)


def test_white_inputs_keep_their_variance_inside() -> None:
    layer, (_, style) = make(), inputs()
    with torch.no_grad():
        outputs = layer(torch.randn(3, 6, 200, 200), 10 * style)[..., 1:-1, 1:-1]
    assert outputs.var((2, 3)).mean().item() == pytest.approx(1, rel=0.02)


def test_a_style_of_zeros_does_not_modulate() -> None:
    layer, (x, style) = make(demodulate=False), inputs()
    torch.testing.assert_close(layer(x, 0 * style), layer.conv(x))


@pytest.mark.parametrize("options", FORMS)
def test_second_derivative(options: dict) -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(2, 2, 2, **options).double()
    x = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    style = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    weight = layer.conv.weight.detach().clone().requires_grad_()

    def output(x: Tensor, style: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"conv.weight": weight}, (x, style))

    assert torch.autograd.gradcheck(output, (x, style, weight))
    assert torch.autograd.gradgradcheck(output, (x, style, weight))


def test_norms_are_not_in_half_precision() -> None:
    layer, (x, style) = make(), inputs()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = layer(x, 100 * style)
    torch.testing.assert_close(outputs.float(), layer(x, 100 * style), rtol=0.05, atol=0.05)
