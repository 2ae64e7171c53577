"""Spectral normalization whose power iteration moves when it is told to, and not by looking at a weight."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

EPSILON = 1e-12
"""Smallest norm and smallest sigma that is divided by."""

FIRST_ITERATIONS = 15
"""Power iterations from the random start to the first forward pass."""

NORMALIZED = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)


class SpectralNorm(nn.Module):
    """Weight divided by its largest singular value (Miyato et al., 2018, §2.1), as a PyTorch parametrization.

    The weight is seen as a matrix W (outputs, everything else) and sigma = u^T W v from stored vectors u and v, which are
    constants for autograd: dL/dW = (G - <G, W / sigma> u v^T) / sigma, where G is the gradient by W / sigma. A forward
    pass moves nothing, in training and evaluation alike, so one update may look at the weight as often as it wants
    (real samples, generated samples, penalties); `update` makes one power iteration. PyTorch's version moves u and v
    whenever the weight is read in training.

    u (outputs,) and v (everything else,) are persistent buffers, drawn from N(0, 1) by PyTorch's global random stream. Equal
    on all processes at the start, they stay so, because the weights do.

    Args:
        weight: What is normalized, (outputs, ...), floating point.
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
        """The weight over its sigma, in the weight's shape, dtype and memory format."""
        with _full_precision(weight):
            sigma = self.u @ (self._matrix(weight) @ self.v)
            return weight / sigma.clamp_min(EPSILON)

    @torch.no_grad()
    def update(self, weight: Tensor) -> None:
        """One power iteration: v to W^T u and u to W v, each scaled to length 1, in place.

        Not between a forward pass and its backward pass, which needs the vectors as they were; autograd would refuse.
        """
        with _full_precision(weight):
            matrix = self._matrix(weight)
            _turn(self.v, matrix.t() @ self.u)
            _turn(self.u, matrix @ self.v)

    def _matrix(self, weight: Tensor) -> Tensor:
        return (weight.transpose(0, 1) if self.transposed else weight).flatten(1)  # (outputs, everything else)


def spectrally_normalize(network: nn.Module) -> None:
    """Put `SpectralNorm` on the weight of every linear, (transposed) convolution and embedding, in place.

    Gains, shifts and other bare parameters stay as they are: batch norms, tables of conditional batch norms, the kernels of
    minibatch discrimination.
    """
    for layer in list(network.modules()):
        if isinstance(layer, NORMALIZED):
            norm = SpectralNorm(layer.weight.detach(), isinstance(layer, nn.ConvTranspose2d))
            parametrize.register_parametrization(layer, "weight", norm)


def power_iterations(network: nn.Module) -> list[Callable[[], None]]:
    """One call for each spectrally normalized weight of a network that makes its power iteration.

    To be collected once, and called before every update of the network's player (Miyato et al., 2018, algorithm 1).
    """
    lists = [m for m in network.modules() if isinstance(m, parametrize.ParametrizationList)]
    return [partial(_iterate, weight, norm) for weight in lists for norm in weight if isinstance(norm, SpectralNorm)]


def _iterate(weight: parametrize.ParametrizationList, norm: SpectralNorm) -> None:
    norm.update(weight.original)  # looked up at every call: a move to another device may replace it


def _full_precision(weight: Tensor) -> torch.autocast:
    # A sigma of bfloat16 products would be wrong by up to a percent, for each layer by another.
    # Weights without numbers, on the meta device, have none.
    return torch.autocast("cpu" if weight.is_meta else weight.device.type, enabled=False)


def _random_unit(size: int, like: Tensor) -> Tensor:
    return F.normalize(torch.randn(size, dtype=like.dtype, device=like.device), dim=0)


def _turn(vector: Tensor, direction: Tensor) -> None:
    """Turn a unit vector, in place. A direction of 0 is none: from a vector of 0 no later weight could lead away."""
    length = torch.linalg.vector_norm(direction)
    vector.copy_(torch.where(length > EPSILON, direction / length.clamp_min(EPSILON), vector))
