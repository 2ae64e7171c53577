"""Weight normalization with lengths that are constants or learned."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

EPSILON = 1e-6
"""Added to squared lengths."""


class WeightNorm(nn.Module):
    """Weight with rows of a given length (Salimans & Kingma, 2016), as a PyTorch parametrization.

    A row has all connections of one output unit or channel. Constant lengths limit the weights: a layer cannot outgrow
    noise that is added to its input. Learned ones, starting at `length`, only reparametrize the weight.

    Args:
        outputs: Number of rows.
        length: Length of each row, above 0.
        learned: Whether the lengths are parameters.
        transposed: Whether the outputs are dimension 1 of the weight, as in transposed convolutions.
    """

    def __init__(self, outputs: int, length: float, learned: bool = False, transposed: bool = False) -> None:
        super().__init__()
        self.transposed = transposed
        self.length: float | nn.Parameter = nn.Parameter(torch.full((outputs,), length)) if learned else length

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with rows of the wanted length; rows of zeros stay zeros."""
        output = 1 if self.transposed else 0
        others = [dim for dim in range(weight.dim()) if dim != output]
        scale = self.length * torch.rsqrt(weight.square().sum(others) + EPSILON)  # (outputs,)
        return weight * scale.view([-1 if dim == output else 1 for dim in range(weight.dim())])


def normalize_weight(
    layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, length: float, learned: bool = False
) -> nn.Module:
    """Put `WeightNorm` on the weight of a layer, in place, and return the layer.

    Args:
        layer: Layer without parametrizations, after its initialization, of which only the directions remain.
        length: Length of a row of the weight.
        learned: Whether the lengths are parameters.
    """
    transposed = isinstance(layer, nn.ConvTranspose2d)
    norm = WeightNorm(layer.weight.shape[1 if transposed else 0], length, learned, transposed)
    # `unsafe` only skips the forward pass that checks shape and dtype, which do not change here.
    parametrize.register_parametrization(layer, "weight", norm, unsafe=True)
    return layer
