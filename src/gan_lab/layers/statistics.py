"""Layers that keep running statistics of their inputs, such as batch norm."""

from torch import Tensor, nn


def keeps_statistics(layer: nn.Module) -> bool:
    """Whether a forward pass in training mode updates buffers of the layer.

    True for PyTorch's norms with running statistics, and for layers with a true attribute `keeps_statistics`.
    """
    return bool(getattr(layer, "track_running_stats", False) or getattr(layer, "keeps_statistics", False))


def statistics_buffers(network: nn.Module, of_all_updates: bool = False) -> list[Tensor]:
    """Buffers of the layers of a network that keep statistics: floating-point numbers and counts.

    Args:
        network: The network.
        of_all_updates: Those of layers with a true attribute `counts_all_updates`, which keep statistics while another
            network is updated as well; False for those of the other layers.
    """
    layers = [layer for layer in network.modules() if keeps_statistics(layer)]
    chosen = [layer for layer in layers if getattr(layer, "counts_all_updates", False) == of_all_updates]
    return [buffer for layer in chosen for buffer in layer.buffers(recurse=False)]
