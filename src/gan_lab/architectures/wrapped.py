"""What the parts that are put around a network share."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator


class Wrapped(Discriminator):
    """A discriminator around another one, whose steps it passes on; a subclass changes one of them.

    Args:
        network: The discriminator inside.
    """

    def __init__(self, network: Discriminator) -> None:
        super().__init__()
        self.network = network

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, d) of samples (n, ...)."""
        return self.network.features(x, labels)

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (n,) of features (n, d)."""
        return self.network.head(features, labels)


def innermost(network: Discriminator) -> Discriminator:
    """The architecture inside all wrappers: the one that owns `output`."""
    while isinstance(network, Wrapped):
        network = network.network
    return network


def linear_like(output: nn.Linear, in_features: int, out_features: int) -> nn.Linear:
    """A linear layer on the device of `output`, with N(0, s^2) weights for its root mean square s, and biases of 0.

    So a part that stands beside the output layer starts at the scale that the architecture's initialization gave that.
    """
    weight = output.weight.detach()
    layer = nn.Linear(in_features, out_features, output.bias is not None, weight.device, weight.dtype)
    with torch.no_grad():
        layer.weight.normal_().mul_(weight.square().mean().sqrt())
        if layer.bias is not None:
            layer.bias.zero_()
    return layer


def swap_batch_norms(
    network: nn.Module, make: Callable[[nn.BatchNorm1d | nn.BatchNorm2d], nn.Module], complaint: str
) -> None:
    """Put `make(norm)` in the place of every batch norm of a network, in place.

    Raises:
        ValueError: There is none; the complaint is the message.
    """
    found = False
    for parent in list(network.modules()):  # a list: what is put in is not searched again
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                setattr(parent, name, make(child))
                found = True
    if not found:
        raise ValueError(complaint)
