"""Replacement of a trained network's batch-norm statistics: standing statistics or those of the batch."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def with_standing_statistics(network: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> nn.Module:
    """Copy of a network with standing statistics: means and variances averaged over batches (Brock et al., 2019).

    Each batch is normalized with its own statistics, as in training; variances are unbiased.

    Args:
        network: In evaluation mode.
        batches: Arguments of the network, one tuple for each batch.

    Raises:
        ValueError: The network has no batch norm with running statistics.
    """
    network, layers = _copy(network)
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches
        layer.train()
    for inputs in batches:
        network(*inputs)
    return network.eval()


def with_batch_statistics(network: nn.Module) -> nn.Module:
    """Copy of a network whose batch norms use the statistics of the current batch, as in training.

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
