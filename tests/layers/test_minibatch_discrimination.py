"""Minibatch discrimination: closed forms, and the sum written as loops."""

import math

import pytest
import torch

from gan_lab.layers.minibatch_discrimination import MinibatchDiscrimination


@pytest.mark.parametrize(("include_self", "expected"), [(True, 4.0), (False, 3.0)])
def test_identical_rows(include_self: bool, expected: float) -> None:
    layer = MinibatchDiscrimination(7, 5, 3, include_self)
    x = torch.randn(1, 7).expand(4, 7)
    torch.testing.assert_close(layer(x), torch.full((4, 5), expected))


def test_two_rows_at_distance_three() -> None:
    layer = MinibatchDiscrimination(1, 1, 2, include_self=False).double()
    with torch.no_grad():
        layer.tensor.copy_(torch.tensor([[[1.0, -2.0]]]))
    o = layer(torch.tensor([[0.0], [1.0]], dtype=torch.float64))
    assert o.flatten().tolist() == pytest.approx([0.0497870684] * 2, abs=1e-10)


@pytest.mark.parametrize("include_self", [True, False])
def test_against_loops(include_self: bool) -> None:
    torch.manual_seed(0)
    layer = MinibatchDiscrimination(3, 4, 2, include_self).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    t = layer.tensor.tolist()
    m = [[[sum(x[i, a].item() * t[a][b][c] for a in range(3)) for c in range(2)] for b in range(4)] for i in range(5)]
    for i in range(5):
        for b in range(4):
            expected = sum(
                math.exp(-sum(abs(m[i][b][c] - m[j][b][c]) for c in range(2)))
                for j in range(5)
                if include_self or j != i
            )
            assert layer(x)[i, b].item() == pytest.approx(expected, abs=1e-12)


def test_permuting_samples_permutes_the_rows() -> None:
    torch.manual_seed(0)
    layer = MinibatchDiscrimination(6)
    x = torch.randn(8, 6)
    order = torch.randperm(8)
    assert layer(x).shape == (8, 100)
    torch.testing.assert_close(layer(x[order]), layer(x)[order])


def test_columns_start_at_length_one() -> None:
    torch.manual_seed(0)
    layer = MinibatchDiscrimination(1000)
    assert layer.tensor.shape == (1000, 100, 5)
    assert layer.tensor.norm(dim=0).mean().item() == pytest.approx(1, abs=0.01)


def test_half_precision_features_are_compared_in_float32() -> None:
    torch.manual_seed(0)
    layer = MinibatchDiscrimination(64)
    x = torch.randn(4, 64).bfloat16()
    expected = layer(x.float())
    assert torch.equal(layer(x), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), expected)
        assert layer(x).dtype == torch.float32


def test_mixes_samples_is_set() -> None:
    assert MinibatchDiscrimination.mixes_samples
    x = torch.randn(3, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(MinibatchDiscrimination(6)(x)[0].sum(), x)
    assert (gradient[1:] != 0).any(1).all()


@pytest.mark.parametrize("name", ["kernels", "kernel_dims"])
def test_invalid_sizes_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^wrapper\.discriminator\.minibatch\.{name} must be at least 1, not 0$"):
        MinibatchDiscrimination(6, **{name: 0})
