"""Layers that keep running statistics of their inputs, such as batch norm."""

from torch import Tensor, nn


def keeps_statistics(layer: nn.Module) -> bool:
    """Whether a forward pass in training mode updates buffers of the layer.

    True for PyTorch's norms with running statistics, and for layers with a true attribute `keeps_statistics`.
    """
    return bool(getattr(layer, "track_running_stats", False) or getattr(layer, "keeps_statistics", False))


def statistics_buffers(network: nn.Module) -> list[Tensor]:
    """Buffers of all layers of a network that keep statistics: floating-point numbers and counts."""
    layers = [layer for layer in network.modules() if keeps_statistics(layer)]
    return [buffer for layer in layers for buffer in layer.buffers(recurse=False)]
