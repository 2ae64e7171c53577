"""Maxout layer."""

from torch import Tensor, nn


class Maxout(nn.Module):
    """Maximum of several affine maps for each unit (Goodfellow et al., 2013, Maxout Networks, §2).

    Input (n, in_features), output (n, out_features), both floating point and unbounded.

    Args:
        in_features: Size of the input.
        out_features: Number of units.
        pieces: Affine maps per unit; 1 gives a linear layer.

    Raises:
        ValueError: `pieces` is below 1.
    """

    def __init__(self, in_features: int, out_features: int, pieces: int) -> None:
        super().__init__()
        if pieces < 1:
            raise ValueError(f"pieces must be at least 1, not {pieces}")
        self.pieces = pieces
        self.linear = nn.Linear(in_features, out_features * pieces)

    def forward(self, x: Tensor) -> Tensor:
        """Units (n, out_features) of an input (n, in_features)."""
        h: Tensor = self.linear(x)
        h = h.unflatten(1, (-1, self.pieces))  # (n, out_features, pieces)
        return h.max(2).values  # (n, out_features); amax has a slower backward pass
