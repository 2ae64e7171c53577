"""Replacement of a trained network's batch-norm statistics: standing statistics or those of the batch."""

import copy
from collections.abc import Callable, Iterable
from typing import TypeGuard

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


@torch.no_grad()
def with_population_statistics(network: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> nn.Module:
    """Copy of a network with statistics of data: averages of each batch's mean and biased variance.

    As in the code of Radford et al. (2016) for discriminator features: each batch counts equally, also a smaller last
    one, and is normalized with its own statistics. A network without batch norm is copied unchanged.

    Args:
        network: In evaluation mode.
        batches: Arguments of the network, one tuple for each batch.
    """
    network = copy.deepcopy(network)
    layers = [module for module in network.modules() if _has_running_statistics(module)]
    found: dict[int, list[tuple[Tensor, Tensor]]] = {number: [] for number in range(len(layers))}

    def hook(number: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def measure(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].double().transpose(0, 1).flatten(1)  # (channels, n h w)
            found[number].append((x.mean(1), x.var(1, unbiased=False)))

        return measure

    handles = [layer.register_forward_pre_hook(hook(number)) for number, layer in enumerate(layers)]
    for layer in layers:
        layer.train()
    for inputs in batches if layers else ():
        network(*inputs)
    for number, (layer, handle) in enumerate(zip(layers, handles, strict=True)):
        handle.remove()
        means, variances = (torch.stack(values).mean(0) for values in zip(*found[number], strict=True))
        layer.running_mean = means.to(layer.running_mean)
        layer.running_var = variances.to(layer.running_var)
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
    layers = [module for module in network.modules() if _has_running_statistics(module)]
    if not layers:
        raise ValueError("the generator has no batch norm with running statistics; set batch_norm=running")
    return network, layers


def _has_running_statistics(module: nn.Module) -> TypeGuard[_BatchNorm]:
    return isinstance(module, _BatchNorm) and module.track_running_stats
