"""What batch norms of a trained network normalize by: their running statistics, others, or those of the batch."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def with_standing_statistics(network: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> nn.Module:
    """A copy whose batch norms have the mean of the batches' means and variances (Brock et al., 2019).

    Each batch passes with its own statistics, as in training; the variances are the unbiased ones.

    Args:
        network: In evaluation mode.
        batches: What the network is called with, one batch after the other.

    Raises:
        ValueError: The network has no batch norm with running statistics.
    """
    network, layers = _copy(network)
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over the passes
        layer.train()
    for inputs in batches:
        network(*inputs)
    return network.eval()


def with_batch_statistics(network: nn.Module) -> nn.Module:
    """A copy whose batch norms take the statistics of whatever batch they are given, as in training.

    Raises:
        ValueError: The network has no batch norm with running statistics.
    """
    network, layers = _copy(network)
    for layer in layers:
        layer.track_running_stats = False
        layer.running_mean = layer.running_var = None
    return network


def _copy(network: nn.Module) -> tuple[nn.Module, list[_BatchNorm]]:
    network = copy.deepcopy(network)
    layers = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    if not layers:
        raise ValueError("the generator has no batch norm with running statistics; set batch_norm=running")
    return network, layers
