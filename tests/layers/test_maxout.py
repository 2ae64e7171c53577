"""Maxout."""

import pytest
import torch

from gan_lab.layers.maxout import Maxout


def test_largest_of_the_pieces() -> None:
    torch.manual_seed(0)
    layer = Maxout(7, 3, 4)
    x = torch.randn(5, 7)
    weight, bias = layer.linear.weight, layer.linear.bias
    for unit in range(3):
        pieces = [x @ weight[4 * unit + piece] + bias[4 * unit + piece] for piece in range(4)]
        torch.testing.assert_close(layer(x)[:, unit], torch.stack(pieces).amax(0))
    assert layer(x).shape == (5, 3)


def test_can_be_the_absolute_value() -> None:
    layer = Maxout(1, 1, 2)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        layer.linear.bias.zero_()
    x = torch.tensor([[-2.0], [0.5], [3.0]])
    assert torch.equal(layer(x), x.abs())


def test_parameter_count() -> None:
    assert sum(p.numel() for p in Maxout(784, 240, 5).parameters()) == 5 * 240 * (784 + 1)


def test_zero_pieces_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^pieces must be at least 1, not 0$"):
        Maxout(2, 2, 0)
