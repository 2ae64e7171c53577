"""Freezing of the layers of a discriminator that are next to the image (Mo et al., 2020, Freeze-D)."""

from typing import cast

from torch import nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.wrapped import innermost
from gan_lab.layers.statistics import keeps_statistics

KEY = "freeze_discriminator"

_FROZEN = "frozen_tensors"
"""Attribute of a layer with the names of its parameters that became buffers."""


def freeze_from_image(network: nn.Module, count: int) -> None:
    """Freeze the first layers of a discriminator, counted from the image, in place.

    Their parameters become buffers: they are in the state dict under the same names, and have neither a gradient nor a
    state in an optimizer. Gradients pass through them to the image.

    Args:
        network: A discriminator, which may be inside wrappers.
        count: Number of layers, at least 1; see `Discriminator.layers_from_image`.

    Raises:
        ValueError: The network has fewer layers or no order of them, or one has a batch norm.
    """
    inner = innermost(cast(Discriminator, network))
    layers = inner.layers_from_image()
    if layers is None:
        raise ValueError(
            f"{KEY}={count} needs layers that are in an order from the image on, which {type(inner).__name__} does not "
            f"have; set {KEY}=0"
        )
    if count > len(layers):
        raise ValueError(
            f"{KEY}={count} is not allowed: {type(inner).__name__} has {len(layers)} layers that can be frozen; give a "
            f"number from 0 to {len(layers)}"
        )
    for number, layer in enumerate(layers[:count]):
        if any(keeps_statistics(part) for module in layer for part in module.modules()):
            raise ValueError(
                f"{KEY}={count} would freeze a norm whose statistics follow the batch; give a number from 0 to "
                f"{number}, or set architecture.discriminator.norm=none or layer"
            )
        for module in layer:
            _to_buffers(module)


def frozen_tensors(network: nn.Module) -> list[str]:
    """Names of the frozen tensors of a network, as in its state dict."""
    return [f"{prefix}.{name}" for prefix, module in network.named_modules() for name in getattr(module, _FROZEN, ())]


def _to_buffers(layer: nn.Module) -> None:
    for module in layer.modules():
        names = [name for name, _ in module.named_parameters(recurse=False)]
        setattr(module, _FROZEN, names)
        for name in names:
            parameter = module.get_parameter(name)
            delattr(module, name)
            module.register_buffer(name, parameter.detach())
