"""Helpers of wrappers."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator


class Wrapped(Discriminator):
    """A discriminator that delegates to another one; a subclass changes one of the steps.

    Args:
        network: The wrapped discriminator.
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
    """The discriminator inside all wrappers, which has the layer `output`."""
    while isinstance(network, Wrapped):
        network = network.network
    return network


def last_layer(network: Discriminator) -> nn.Linear:
    """The layer `output` inside all wrappers, from the last hidden layer of a sample to its logit.

    Raises:
        ValueError: The discriminator scores patches of a sample.
    """
    inner = innermost(network)
    if not isinstance(inner.output, nn.Linear):
        raise ValueError(
            f"{type(inner).__name__} scores patches of an image, and its conditioning or wrapper needs one vector of "
            "features for each sample; set conditioning=none or source_image and remove wrapper/discriminator, or "
            "choose another architecture"
        )
    return inner.output


def linear_like(output: nn.Linear, in_features: int, out_features: int) -> nn.Linear:
    """A linear layer like `output`: N(0, s^2) weights with the root mean square s of its weights, and zero biases.

    So a layer next to the output layer starts at the scale of the architecture's initialization.
    """
    weight = output.weight.detach()
    layer = nn.Linear(in_features, out_features, output.bias is not None, weight.device, weight.dtype)
    with torch.no_grad():
        layer.weight.normal_().mul_(weight.square().mean().sqrt())
        if layer.bias is not None:
            layer.bias.zero_()
    return layer


def swap_batch_norms(
    network: nn.Module,
    make: Callable[[nn.BatchNorm1d | nn.BatchNorm2d], nn.Module],
    message: str,
    keep: tuple[str, ...] = (),
) -> None:
    """Replace every batch norm of a network by `make(norm)`, in place.

    Args:
        network: The network.
        make: Returns the replacement of a batch norm.
        message: Text of the error.
        keep: Attribute names of batch norms that are not replaced.

    Raises:
        ValueError: There are none; its text is `message`.
    """
    found = False
    for parent in list(network.modules()):  # a list: replacements are not searched
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d) and name not in keep:
                setattr(parent, name, make(child))
                found = True
    if not found:
        raise ValueError(message)
