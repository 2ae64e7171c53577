"""Virtual batch normalization."""

import torch
from torch import Tensor, nn


class VirtualBatchNorm(nn.Module):
    """Batch norm by the statistics of a reference batch that is fixed for the whole run (Salimans et al., 2016, §3.5).

    The input's first `reference` rows are the reference batch at this layer, and are normalized with their own
    statistics. Each other row is normalized with the statistics of the reference and itself: mean and mean square with the
    weights R / (R + 1) and 1 / (R + 1). So no row depends on any other row but those of the reference. There are no
    running statistics, and evaluation is training.

    Input and output are (n, channels) or (n, channels, h, w) with n >= reference, in one dtype; statistics in float32 or wider.

    Args:
        norm: Batch norm that gives gain, shift and epsilon; its parameters are taken over, if it has any.
        reference: Rows of the reference batch, R.
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, reference: int) -> None:
        super().__init__()
        self.reference = reference
        self.eps = norm.eps
        self.register_parameter("weight", norm.weight)
        self.register_parameter("bias", norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Normalized x."""
        size = self.reference
        wide = x.to(torch.promote_types(x.dtype, torch.float32)).reshape(*x.shape[:2], -1)  # (n, channels, pixels)
        # Around the reference's mean the mean square is a variance, and does not cancel.
        wide = wide - wide[:size].mean((0, 2), keepdim=True)
        own_mean, own_square = wide.mean(2), wide.square().mean(2)  # (n, channels)
        square = own_square[:size].mean(0)  # (channels,): the reference's variance
        share = 1 / (size + 1)
        mean = own_mean[size:] * share  # (n - R, channels)
        variance = square * (1 - share) + own_square[size:] * share - mean.square()
        means = torch.cat([torch.zeros_like(own_mean[:size]), mean])  # (n, channels)
        variances = torch.cat([square.expand(size, -1), variance])
        wide = (wide - means.unsqueeze(2)) * (variances + self.eps).rsqrt().unsqueeze(2)
        if self.weight is not None and self.bias is not None:
            wide = torch.addcmul(self.bias.unsqueeze(1), wide, self.weight.unsqueeze(1))
        return wide.reshape(x.shape).to(x.dtype)
