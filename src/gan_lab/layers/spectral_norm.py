"""Spectral normalization with explicit power-iteration updates; a forward pass never changes u or v."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

EPSILON = 1e-12
"""Lower bound of norms and sigmas in denominators."""

FIRST_ITERATIONS = 15
"""Power iterations at construction."""

NORMALIZED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)


class SpectralNorm(nn.Module):
    """Weight divided by its largest singular value (Miyato et al., 2018, §2.1), as a PyTorch parametrization.

    The weight is reshaped to a matrix W (outputs, everything else); sigma = u^T W v with stored vectors u and v, which
    are constants for autograd: dL/dW = (G - <G, W / sigma> u v^T) / sigma, where G is the gradient in W / sigma. A
    forward pass changes neither, in training and evaluation, so the weight may be used several times in an update (real
    samples, generated samples, penalties); `update` makes one power iteration. PyTorch's version updates u and v at
    every use of the weight in training.

    u (outputs,) and v (everything else,) are persistent buffers, drawn from N(0, 1) with PyTorch's global random
    stream. They start equal on all processes and stay equal, because the weights do.

    Args:
        weight: The weight to normalize, (outputs, ...), floating point.
        transposed: Whether the outputs are dimension 1, as in transposed convolutions.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, transposed: bool = False) -> None:
        super().__init__()
        self.transposed = transposed
        outputs, inputs = self._matrix(weight).shape
        self.register_buffer("u", _random_unit(outputs, weight))
        self.register_buffer("v", _random_unit(inputs, weight))
        for _ in range(FIRST_ITERATIONS):
            self.update(weight)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight divided by sigma, in the weight's shape, dtype and memory format."""
        with _full_precision(weight):
            sigma = self.u @ (self._matrix(weight) @ self.v)
            return weight / sigma.clamp_min(EPSILON)

    @torch.no_grad()
    def update(self, weight: Tensor) -> None:
        """One power iteration, in place: v = W^T u and u = W v, each normalized.

        Autograd raises an error if this is called between a forward pass and its backward pass, which needs the old
        vectors.
        """
        with _full_precision(weight):
            matrix = self._matrix(weight)
            _set_direction(self.v, matrix.t() @ self.u)
            _set_direction(self.u, matrix @ self.v)

    def _matrix(self, weight: Tensor) -> Tensor:
        return (weight.transpose(0, 1) if self.transposed else weight).flatten(1)  # (outputs, everything else)


def spectrally_normalize(network: nn.Module) -> None:
    """Put `SpectralNorm` on the weight of every linear, (transposed) convolution and embedding, in place.

    Other parameters are not normalized: batch norms, tables of conditional batch norms, the kernels of minibatch
    discrimination.
    """
    for layer in list(network.modules()):
        if isinstance(layer, NORMALIZED):
            norm = SpectralNorm(layer.weight.detach(), isinstance(layer, nn.ConvTranspose2d))
            parametrize.register_parametrization(layer, "weight", norm)


def power_iterations(network: nn.Module) -> list[Callable[[], None]]:
    """Functions that make one power iteration, one for each spectrally normalized weight of a network.

    Collect them once, and call them before every update of the network's player (Miyato et al., 2018, algorithm 1).
    Frozen weights, which are buffers, have none.
    """
    lists = [m for m in network.modules() if isinstance(m, parametrize.ParametrizationList) and [*m.parameters(False)]]
    return [partial(_iterate, weight, norm) for weight in lists for norm in weight if isinstance(norm, SpectralNorm)]


def _iterate(weight: parametrize.ParametrizationList, norm: SpectralNorm) -> None:
    norm.update(weight.original)  # read at every call, because `module.to(device)` may replace it


def _full_precision(weight: Tensor) -> torch.autocast:
    # A sigma of bfloat16 products would have an error of up to a percent, different in each layer.
    # Autocast does not know the meta device.
    return torch.autocast("cpu" if weight.is_meta else weight.device.type, enabled=False)


def _random_unit(size: int, like: Tensor) -> Tensor:
    return F.normalize(torch.randn(size, dtype=like.dtype, device=like.device), dim=0)


def _set_direction(vector: Tensor, direction: Tensor) -> None:
    """Set a unit vector to a direction, in place; ignore direction 0, because a zero vector would stay zero."""
    length = torch.linalg.vector_norm(direction)
    vector.copy_(torch.where(length > EPSILON, direction / length.clamp_min(EPSILON), vector))
