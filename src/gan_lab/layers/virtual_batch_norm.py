"""Virtual batch normalization."""

import torch
from torch import Tensor, nn


class VirtualBatchNorm(nn.Module):
    """Batch norm with the statistics of a reference batch that is fixed for the run (Salimans et al., 2016, §3.5).

    The input's first `reference` rows are the features of the reference batch, normalized with their own statistics.
    Each other row is normalized with the statistics of the reference batch and itself: mean and mean square with
    weights R / (R + 1) and 1 / (R + 1). So it depends on no other row outside the reference batch. There are no running
    statistics; training and evaluation mode are the same.

    Input and output are (n, channels) or (n, channels, h, w) with n >= reference, in one dtype; statistics are float32
    or wider.

    Args:
        norm: Batch norm whose epsilon and, if it has any, gain and shift are used.
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
        # Subtracting the reference's mean first avoids cancellation in the variance.
        wide = wide - wide[:size].mean((0, 2), keepdim=True)
        own_mean, own_square = wide.mean(2), wide.square().mean(2)  # (n, channels)
        square = own_square[:size].mean(0)  # (channels,): the reference's variance
        own_weight = 1 / (size + 1)
        mean = own_mean[size:] * own_weight  # (n - R, channels)
        variance = square * (1 - own_weight) + own_square[size:] * own_weight - mean.square()
        means = torch.cat([torch.zeros_like(own_mean[:size]), mean])  # (n, channels)
        variances = torch.cat([square.expand(size, -1), variance])
        wide = (wide - means.unsqueeze(2)) * (variances + self.eps).rsqrt().unsqueeze(2)
        if self.weight is not None and self.bias is not None:
            wide = torch.addcmul(self.bias.unsqueeze(1), wide, self.weight.unsqueeze(1))
        return wide.reshape(x.shape).to(x.dtype)
