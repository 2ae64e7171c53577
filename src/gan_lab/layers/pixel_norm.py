"""Pixelwise normalization of feature vectors."""

import torch
from torch import Tensor, nn

EPSILON = 1e-8


class PixelNorm(nn.Module):
    """Scale the feature vector of each pixel to mean square 1 (Karras et al., 2018, section 4.2).

    b = a / sqrt(mean over the channels of a^2 + 1e-8). It has no parameters, mixes neither samples nor pixels, and
    keeps zeros.

    Input and output (n, channels, ...), vectors or images.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x (n, channels, ...) with mean square 1 over the channels, in the dtype of x."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))  # half-precision squares are too inaccurate
        return x * torch.rsqrt(wide.square().mean(1, keepdim=True) + EPSILON).to(x.dtype)
