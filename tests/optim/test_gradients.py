"""Gradients are forgotten as PyTorch's `zero_grad` does it."""

import torch
from torch import nn

from gan_lab.optim.gradients import forget_gradients


class Counts(torch.optim.SGD):
    calls = 0

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.calls += 1
        super().zero_grad(set_to_none)


def test_gradients_are_none_afterwards() -> None:
    layer = nn.Linear(2, 1)
    for optimizer in (torch.optim.Adam(layer.parameters()), Counts(layer.parameters(), lr=0.1)):
        layer(torch.ones(1, 2)).sum().backward()
        forget_gradients(optimizer, layer.parameters())
        assert all(parameter.grad is None for parameter in layer.parameters())


def test_an_optimizer_with_a_way_of_its_own_is_asked() -> None:
    layer = nn.Linear(2, 1)
    optimizer = Counts(layer.parameters(), lr=0.1)
    forget_gradients(optimizer, layer.parameters())
    assert optimizer.calls == 1
