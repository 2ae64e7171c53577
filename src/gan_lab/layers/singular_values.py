"""The largest singular values of weights."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

EXACT = 512
"""Smaller side of a matrix up to which all singular values are computed."""

_SPARE = 8  # directions that are followed beside those asked for: they make the others converge quickly
_TOLERANCE = 1e-6  # relative change of the values at which the iteration ends
_MOST = 500  # iterations


@torch.no_grad()
def top_singular_values(matrix: Tensor, count: int) -> Tensor:
    """The `count` largest singular values of a matrix (rows, columns), descending, float32 (count,).

    Of small matrices by a singular value decomposition; of others by power iteration on several directions at once, made
    orthogonal again after each product. A matrix with fewer values has zeros behind them.
    """
    matrix = matrix.float()
    if min(matrix.shape) <= EXACT:
        values = torch.linalg.svdvals(matrix)[:count]
        return torch.cat([values, values.new_zeros(count - len(values))])
    return iterated_singular_values(matrix, count)


@torch.no_grad()
def iterated_singular_values(matrix: Tensor, count: int) -> Tensor:
    """The same by power iteration, of a float matrix whose smaller side is at least count + 8."""
    generator = torch.Generator().manual_seed(0)  # takes nothing of the random stream of the training
    directions = torch.randn(matrix.shape[1], count + _SPARE, generator=generator).to(matrix)
    values = matrix.new_zeros(count)
    for _ in range(_MOST):
        left = torch.linalg.qr(matrix @ directions).Q  # (rows, count + spare)
        directions = matrix.T @ left  # (columns, count + spare)
        before, values = values, torch.linalg.svdvals(directions)[:count]
        if bool(((values - before).abs() <= _TOLERANCE * values).all()):
            break
    return values


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """The weight of every linear layer, convolution and embedding as a matrix (outputs, everything else), by layer name.

    Under spectral normalization it is the weight that is learned, before it is divided.
    """
    found = {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
            weight = layer.weight
            if parametrize.is_parametrized(layer, "weight"):
                weight = layer.parametrizations["weight"].original  # type: ignore[index, union-attr]
            turned = weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight
            found[name] = turned.detach().flatten(1)
    return found
