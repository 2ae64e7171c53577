"""Gradients before an update."""

from collections.abc import Iterable

from torch import nn
from torch.optim import Optimizer


def forget_gradients(optimizer: Optimizer, parameters: Iterable[nn.Parameter]) -> None:
    """Set the gradients to None, as PyTorch's `zero_grad` does, which also measures itself for a profiler.

    Args:
        optimizer: Its own `zero_grad` is called if it has one.
        parameters: All that it updates.
    """
    if type(optimizer).zero_grad is not Optimizer.zero_grad:
        optimizer.zero_grad()
        return
    for parameter in parameters:
        parameter.grad = None
