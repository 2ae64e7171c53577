"""Minibatch standard deviation: closed forms of Karras et al. (2018)."""

from math import gcd, sqrt

import pytest
import torch

from gan_lab.layers.minibatch_stddev import MinibatchStddev


@pytest.mark.parametrize("shape", [(5,), (5, 3, 3)])
def test_one_and_three(shape: tuple[int, ...]) -> None:
    x = torch.stack([torch.full(shape, 1.0), torch.full(shape, 3.0)]).double()
    y = MinibatchStddev(2)(x)
    assert y.shape == (2, 6, *shape[1:])
    assert torch.equal(y[:, :5], x)
    torch.testing.assert_close(y[:, 5:], torch.full_like(y[:, 5:], 1.000000005), atol=1e-12, rtol=0)


def test_identical_samples() -> None:
    y = MinibatchStddev()(torch.randn(1, 6, 2, 2, dtype=torch.float64).expand(4, 6, 2, 2))
    torch.testing.assert_close(y[:, 6:], torch.full((4, 1, 2, 2), 1e-4, dtype=torch.float64))


@pytest.mark.parametrize("group", [1, 2, 3, 4, 12, 5, 8, None])
@pytest.mark.parametrize("shape", [(7,), (3, 2, 2)])
@pytest.mark.parametrize("interleaved", [False, True])
def test_against_loops(group: int | None, shape: tuple[int, ...], interleaved: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(12, *shape, dtype=torch.float64)
    y = MinibatchStddev(group, interleaved)(x)
    size = 12 if group is None else gcd(group, 12)
    for row in range(12):
        start = row // size * size
        rows = slice(row % (12 // size), None, 12 // size) if interleaved else slice(start, start + size)
        members = x[rows].flatten(1).T.tolist()  # one list for each feature
        stddev = [
            sqrt(sum((v - sum(values) / size) ** 2 for v in values) / size + 1e-8) for values in map(list, members)
        ]
        torch.testing.assert_close(y[row, -1], torch.full_like(y[row, -1], sum(stddev) / len(stddev)))


def test_order_within_a_group_does_not_matter() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 6)
    within = torch.tensor([2, 0, 3, 1, 7, 6, 5, 4])
    across = torch.tensor([4, 1, 2, 3, 0, 5, 6, 7])
    layer = MinibatchStddev(4)
    torch.testing.assert_close(layer(x[within])[:, -1], layer(x)[:, -1])
    assert (layer(x[across])[:, -1] - layer(x)[:, -1]).abs().max() > 1e-3


def test_half_precision() -> None:
    torch.manual_seed(0)
    x = 100 + torch.randn(4, 64).bfloat16()
    y = MinibatchStddev()(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), MinibatchStddev()(x.float()), rtol=1e-2, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_gradient_of_identical_samples_is_finite(dtype: torch.dtype) -> None:
    x = torch.ones(4, 6, dtype=dtype, requires_grad=True)  # in float16 the 1e-8 would be 0
    MinibatchStddev()(x)[:, -1].sum().backward()
    assert torch.equal(x.grad, torch.zeros(4, 6, dtype=dtype))


def test_invalid_group_is_refused() -> None:
    sentence = r"^wrapper\.discriminator\.minibatch\.group must be at least 1, or null for the entire batch, not 0$"
    with pytest.raises(ValueError, match=sentence):
        MinibatchStddev(0)
