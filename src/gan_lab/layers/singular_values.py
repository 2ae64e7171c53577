"""Largest singular values of weights."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

EXACT = 512
"""Smaller dimension of a matrix up to which all singular values are computed."""

_EXTRA = 8  # extra directions, which make the requested ones converge quickly
_TOLERANCE = 1e-6  # relative change of the values at which the iteration stops
_MAX_ITERATIONS = 500


@torch.no_grad()
def top_singular_values(matrix: Tensor, count: int) -> Tensor:
    """The `count` largest singular values of a matrix (rows, columns), descending, float32 (count,).

    By a singular value decomposition for small matrices, else by block power iteration with orthogonalization after
    each product. If the matrix has fewer singular values, zeros are appended.
    """
    matrix = matrix.float()
    if min(matrix.shape) <= EXACT:
        values = torch.linalg.svdvals(matrix)[:count]
        return torch.cat([values, values.new_zeros(count - len(values))])
    return iterated_singular_values(matrix, count)


@torch.no_grad()
def iterated_singular_values(matrix: Tensor, count: int) -> Tensor:
    """Largest singular values by block power iteration, for a float matrix with both sizes at least count + 8."""
    generator = torch.Generator().manual_seed(0)  # does not use the random stream of training
    directions = torch.randn(matrix.shape[1], count + _EXTRA, generator=generator).to(matrix)
    values = matrix.new_zeros(count)
    for _ in range(_MAX_ITERATIONS):
        left = torch.linalg.qr(matrix @ directions).Q  # (rows, count + extra)
        directions = matrix.T @ left  # (columns, count + extra)
        before, values = values, torch.linalg.svdvals(directions)[:count]
        if bool(((values - before).abs() <= _TOLERANCE * values).all()):
            break
    return values


def weight_matrices(network: nn.Module) -> dict[str, Tensor]:
    """Weights of linear layers, convolutions and embeddings as matrices (outputs, everything else), by layer name.

    For spectrally normalized layers this is the stored weight, before division by sigma.
    """
    matrices = {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
            weight = layer.weight
            if parametrize.is_parametrized(layer, "weight"):
                weight = layer.parametrizations["weight"].original  # type: ignore[index, union-attr]
            outputs_first = weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight
            matrices[name] = outputs_first.detach().flatten(1)
    return matrices
