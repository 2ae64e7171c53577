"""Convolution whose input channels are scaled by a style vector, StyleGAN2."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.layers.fir import fir_filter
from gan_lab.layers.float16 import in_float16

EPSILON = 1e-8
TINY = 1e-12
"""Lower bound of maxima in denominators."""


class ModulatedConv2d(nn.Module):
    """Convolution with weights that depend on a style (Karras et al., 2020, section 2.2).

    A linear layer of the style gives a factor s_i for each input channel: w'_oikl = s_i w_oikl. Demodulation then
    divides the weights of each output channel by their norm, sqrt(sum over i, k, l of w'_oikl^2 + 1e-8), so white
    inputs of variance 1 give outputs of variance 1 for any style.

    The weights of a sample are never formed: its input is scaled by s, and its output by the inverse norms, which are a
    matrix product of s^2 and the sums of w^2. This equals a convolution with a group for each sample, in a fraction of
    the time, because the weights are the same for all samples.

    In float16 products could overflow. There, if they are demodulated, which removes any factor, the weights of an
    output channel are first divided by their maximum and by the root of their number, and the factors of a sample by
    their maximum, as in the authors' code.

    Args:
        style_dim: Size of a style.
        inputs: Channels of the input.
        outputs: Channels of the output.
        kernel: Odd kernel size; the resolution does not change.
        demodulate: Divide by the norm of the weights.
        up: Double the resolution: a transposed convolution of stride 2, then the filter [1, 3, 3, 1]. The kernel size
            must be 3.
    """

    def __init__(
        self, style_dim: int, inputs: int, outputs: int, kernel: int = 3, demodulate: bool = True, up: bool = False
    ) -> None:
        super().__init__()
        self.affine = nn.Linear(style_dim, inputs)
        nn.init.ones_(self.affine.bias)
        self.conv: nn.Conv2d | nn.ConvTranspose2d
        if up:
            self.conv = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, bias=False)
        else:
            self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.demodulate = demodulate
        self.up = up

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """(n, outputs, h, w), or (n, outputs, 2 h, 2 w), for x (n, inputs, h, w) and styles (n, style_dim)."""
        factors, weight = self.affine(style), self.conv.weight  # (n, inputs)
        if self.demodulate and in_float16(x):
            factors, weight = self._small(factors, weight)
        x = self._convolved(x * factors.to(x.dtype)[:, :, None, None], weight)
        return x * self._inverse_norms(factors, weight).to(x.dtype)[:, :, None, None] if self.demodulate else x

    def _convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        if self.up:
            return fir_filter(F.conv_transpose2d(x, weight, stride=2), padding=1, gain=4)
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)

    def _small(self, factors: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Factors up to 1, and weights up to 1 / sqrt(their number), as float32."""
        factors, weight = factors.float(), weight.float()
        inputs = (0, 2, 3) if self.up else (1, 2, 3)
        peaks = weight.abs().amax(inputs, keepdim=True) * (weight[:, 0] if self.up else weight[0]).numel() ** 0.5
        return factors / factors.abs().amax(1, keepdim=True).clamp_min(TINY), weight / peaks.clamp_min(TINY)

    def _inverse_norms(self, factors: Tensor, weight: Tensor) -> Tensor:
        """1 / norm of the weights of each sample and output channel, (n, outputs), never in half precision."""
        with torch.autocast(factors.device.type, enabled=False):
            wide = torch.promote_types(weight.dtype, torch.float32)
            squares = weight.to(wide).square().sum((2, 3))  # (outputs, inputs); (inputs, outputs) if transposed
            by_input = squares if self.up else squares.T
            return torch.rsqrt(factors.to(wide).square() @ by_input + EPSILON)
