"""Layers of StyleGAN2 in float16, where large numbers overflow: closed forms."""

import pytest
import torch

from gan_lab.layers.float16 import clamp_in_float16, in_float16
from gan_lab.layers.modulated_conv import ModulatedConv2d
from gan_lab.layers.style_mapping import scaled_leaky_relu


def test_where_convolutions_are_in_float16() -> None:
    x = torch.ones(2)
    assert in_float16(x.half()) and not in_float16(x)
    with torch.autocast("cpu", torch.float16):
        assert in_float16(x)
        with torch.autocast("cpu", enabled=False):
            assert not in_float16(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert not in_float16(x)


def test_activations_are_clamped_in_float16_only() -> None:
    x = torch.tensor([-3000.0, -1.0, 100.0, 3000.0])
    expected = torch.tensor([-3000 * 0.2, -0.2, 100, 3000]) * 2**0.5
    torch.testing.assert_close(scaled_leaky_relu(x), expected)
    torch.testing.assert_close(scaled_leaky_relu(x.half()).float(), expected.clamp(-256, 256), rtol=1e-3, atol=0)
    assert torch.equal(clamp_in_float16(x.bfloat16()), x.bfloat16())


@pytest.mark.parametrize("up", [False, True])
def test_large_weights_and_styles_do_not_overflow(up: bool) -> None:
    """Demodulation removes their factors; without it, 300 x 300 is beyond float16."""
    torch.manual_seed(0)
    layer = ModulatedConv2d(5, 32, 16, up=up)
    with torch.no_grad():
        layer.conv.weight.mul_(3000)
        layer.affine.weight.mul_(300)
        layer.affine.bias.mul_(300)
        x, style = torch.randn(3, 32, 8, 8), torch.randn(3, 5)
        expected = layer(x, style)
        with torch.autocast("cpu", torch.float16):
            found = layer(x, style)
            layer.demodulate = False
            plain = layer(x, style)
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.02)
    assert not plain.isfinite().all()
