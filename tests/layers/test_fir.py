"""Resampling with [1, 3, 3, 1]: closed forms, bilinear interpolation, and the second derivative."""

import pytest
import torch
import torch.nn.functional as F

from gan_lab.layers.fir import fir_downsample, fir_filter, fir_upsample

ONES = torch.ones(1, 2, 8, 8, dtype=torch.float64)
X = torch.randn(2, 3, 8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_ones_with_zeros_outside() -> None:
    """Corner, edge and inside."""
    up, down = fir_upsample(ONES), fir_downsample(ONES)
    assert up.shape == (1, 2, 16, 16) and down.shape == (1, 2, 4, 4)
    for image, values in ((up, (0.5625, 0.75, 1.0)), (down, (0.765625, 0.875, 1.0))):
        assert [image[0, 1, i, j].item() for i, j in ((0, 0), (0, 2), (2, 2))] == pytest.approx(values)


def test_an_upsampled_impulse() -> None:
    impulse = torch.zeros(1, 1, 8, 8)
    impulse[0, 0, 3, 3] = 1
    up = fir_upsample(impulse)[0, 0]
    assert up[6, 5:9].tolist() == pytest.approx([0.1875, 0.5625, 0.5625, 0.1875])
    taps = torch.tensor([1.0, 3, 3, 1]) / 4
    torch.testing.assert_close(up[5:9, 5:9], torch.outer(taps, taps))
    assert up.sum().item() == pytest.approx(4)


def test_bilinear_interpolation_inside() -> None:
    up = F.interpolate(X, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(fir_upsample(X)[..., 1:-1, 1:-1], up[..., 1:-1, 1:-1])
    down = F.interpolate(X, scale_factor=0.5, mode="bilinear", antialias=True)
    torch.testing.assert_close(fir_downsample(X)[..., 1:-1, 1:-1], down[..., 1:-1, 1:-1])


def test_nearest_doubling_and_a_short_filter_are_the_same() -> None:
    """[1, 1] convolved with [1, 2, 1] is [1, 3, 3, 1]."""
    taps = torch.tensor([1.0, 2, 1], dtype=torch.float64) / 4
    kernel = torch.outer(taps, taps).expand(3, 1, 3, 3)
    nearest = F.conv2d(F.interpolate(X, scale_factor=2.0), kernel, padding=1, groups=3)
    torch.testing.assert_close(fir_upsample(X), nearest)


def test_the_filter_alone() -> None:
    assert fir_filter(ONES, padding=2).shape == (1, 2, 9, 9)
    torch.testing.assert_close(fir_filter(ONES, padding=0, gain=4.0), torch.full_like(ONES[..., :5, :5], 4))
    torch.testing.assert_close(fir_filter(X, padding=1)[..., ::2, ::2], fir_downsample(X))


@pytest.mark.parametrize("operation", [fir_upsample, fir_downsample, lambda x: fir_filter(x, 2)])
def test_second_derivative(operation) -> None:
    x = X[:1, :2, :4, :4].clone().requires_grad_()
    assert torch.autograd.gradcheck(operation, x)
    assert torch.autograd.gradgradcheck(lambda x: operation(x).pow(3), x)
