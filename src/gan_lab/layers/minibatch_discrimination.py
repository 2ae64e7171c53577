"""Minibatch discrimination layer."""

from typing import ClassVar

import torch
from torch import Tensor, nn


class MinibatchDiscrimination(nn.Module):
    """Closeness of each sample to the others of its batch (Salimans et al., 2016, §3.2).

    With M_i = x_i T, a matrix of `kernels` rows, the output is o(x_i)_b = sum_j exp(-|M_ib - M_jb|_1), in [1, n] with
    the sample itself and in [0, n - 1] without it. The batch is that of this process.

    T is drawn from N(0, 1 / in_features), so that its columns have length 1 on average. The authors' code draws N(0,
    0.05^2), normalizes each column (weight normalization, which cancels the 0.05) and sets the lengths and a bias from
    a first batch. Here the lengths are learned with T, and the next linear layer has a bias.

    Computed in T's dtype, also under autocast, because differences of half-precision numbers are mostly rounding
    errors. Memory is n^2 * kernels * kernel_dims numbers. Input (n, in_features), output (n, kernels).

    Args:
        in_features: Size of the input.
        kernels: Number of rows of M, B in the paper.
        kernel_dims: Length of a row of M, C in the paper.
        include_self: Whether the sum contains j = i, a constant 1: true in the paper, false in its code.

    Raises:
        ValueError: `kernels` or `kernel_dims` is below 1.
    """

    mixes_samples: ClassVar[bool] = True
    """The layer mixes samples, so penalties on the gradient of each sample's own logit are not defined."""

    def __init__(self, in_features: int, kernels: int = 100, kernel_dims: int = 5, include_self: bool = True) -> None:
        super().__init__()
        for name, value in (("kernels", kernels), ("kernel_dims", kernel_dims)):
            if value < 1:
                raise ValueError(f"wrapper.discriminator.minibatch.{name} must be at least 1, not {value}")
        self.include_self = include_self
        self.tensor = nn.Parameter(torch.randn(in_features, kernels, kernel_dims) * in_features**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Closeness (n, kernels) of features (n, in_features)."""
        with torch.autocast(x.device.type, enabled=False):
            m = torch.einsum("na,abc->cbn", x.to(self.tensor.dtype), self.tensor)  # (kernel_dims, kernels, n)
            # A loop over the dimensions is two to three times as fast on a CPU, for small `kernels`, as one sum of
            # differences.
            distances = torch.zeros((), device=m.device)
            for row in m:
                distances = distances + (row.unsqueeze(2) - row.unsqueeze(1)).abs()  # (kernels, n, n)
            closeness = torch.exp(-distances).sum(2).T  # (n, kernels)
        return closeness if self.include_self else closeness - 1
