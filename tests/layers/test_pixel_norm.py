"""Pixelwise normalization: closed forms of Karras et al. (2018), section 4.2."""

from math import sqrt

import pytest
import torch

from gan_lab.layers.pixel_norm import PixelNorm


@pytest.mark.parametrize("shape", [(3, 512), (3, 512, 2, 5)])
def test_mean_square_over_the_channels_is_one(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    y = PixelNorm()(torch.randn(shape, dtype=torch.float64))
    squares = y.square().mean(1)
    torch.testing.assert_close(squares, torch.ones_like(squares), atol=1e-7, rtol=0)


def test_against_the_formula_by_hand() -> None:
    x = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    expected = x / sqrt(12.5 + 1e-8)
    torch.testing.assert_close(PixelNorm()(x), expected, atol=1e-15, rtol=0)


def test_epsilon_of_small_vectors() -> None:
    x = torch.full((1, 4), 1e-4, dtype=torch.float64)  # mean square 1e-8, as large as the epsilon
    torch.testing.assert_close(PixelNorm()(x), torch.full_like(x, sqrt(0.5)))


def test_scale_and_other_pixels_have_no_effect() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 8, 3, 3, dtype=torch.float64)
    norm = PixelNorm()
    torch.testing.assert_close(norm(7 * x), norm(x), rtol=1e-6, atol=0)
    torch.testing.assert_close(norm(x)[1:, :, 2:, 2:], norm(x[1:, :, 2:, 2:]))


def test_zeros_stay_zero_with_a_finite_gradient() -> None:
    x = torch.zeros(2, 4, 3, 3, requires_grad=True)
    y = PixelNorm()(x)
    y.sum().backward()
    assert torch.equal(y, torch.zeros_like(y))
    assert torch.isfinite(x.grad).all()


def test_half_precision() -> None:
    torch.manual_seed(0)
    x = (300 * torch.randn(2, 64)).half()  # squares of these are infinite in half precision
    y = PixelNorm()(x)
    assert y.dtype == torch.float16
    torch.testing.assert_close(y.float(), PixelNorm()(x.float()), rtol=2e-3, atol=1e-3)
