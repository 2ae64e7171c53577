"""Gaussian noise as regularization of hidden layers."""

import torch
from torch import Tensor, nn


class GaussianNoise(nn.Module):
    """Adds independent N(0, std^2) numbers in training mode; the identity in evaluation mode.

    Like dropout it draws from PyTorch's global random stream, which the phase runner seeds before every update.

    Args:
        std: Standard deviation; 0 for the identity.

    Raises:
        ValueError: `std` is negative.
    """

    def __init__(self, std: float) -> None:
        super().__init__()
        if std < 0:
            raise ValueError(f"the standard deviation of noise must be at least 0, not {std}")
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        """The noisy input, in its shape and dtype."""
        return x + self.std * torch.randn_like(x) if self.training and self.std else x

    def extra_repr(self) -> str:
        return f"std={self.std:.4g}"
