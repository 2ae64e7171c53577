"""Virtual batch norm, against the definition of Salimans et al. (2016), section 3.5."""

import copy

import pytest
import torch
from torch import Tensor, nn

from gan_lab.layers.virtual_batch_norm import VirtualBatchNorm

R = 5


def make(dims: int) -> tuple[nn.Module, VirtualBatchNorm]:
    """A batch norm with random gains and shifts, and the virtual one made from it."""
    torch.manual_seed(0)
    plain = (nn.BatchNorm2d if dims else nn.BatchNorm1d)(4, eps=1e-3)
    nn.init.normal_(plain.weight)
    nn.init.normal_(plain.bias)
    return plain.double(), VirtualBatchNorm(copy.deepcopy(plain), R)


def batch(dims: int, rows: int = R + 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 2 + 3 * torch.randn(rows, 4, *[6] * dims, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("dims", [0, 2])
def test_the_reference_is_plain_batch_norm(dims: int) -> None:
    plain, layer = make(dims)
    x = batch(dims)
    torch.testing.assert_close(layer(x)[:R], plain(x[:R]))
    torch.testing.assert_close(layer(x[:R]), plain(x[:R]))


@pytest.mark.parametrize("dims", [0, 2])
def test_a_row_is_normalized_with_the_reference_and_itself(dims: int) -> None:
    plain, layer = make(dims)
    x = batch(dims)
    over = (0, 2, 3) if dims else (0,)
    for row in range(R, len(x)):
        # With equally many pixels, mean and mean square with weights 1 / (R + 1) are those of all R + 1 rows.
        together = torch.cat([x[:R], x[row : row + 1]])
        mean = together.mean(over)
        square = together.square().mean(over)
        ones = [1] * dims
        z = (x[row] - mean.view(-1, *ones)) / (square - mean.square() + 1e-3).sqrt().view(-1, *ones)
        expected = z * plain.weight.view(-1, *ones) + plain.bias.view(-1, *ones)
        torch.testing.assert_close(layer(x)[row], expected)
        torch.testing.assert_close(layer(x)[row], plain(together)[-1])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dims", [0, 2])
def test_rows_are_independent_of_each_other(dims: int, training: bool) -> None:
    layer = make(dims)[1].train(training)
    x = batch(dims)
    before = layer(x)
    x[-1] += 10
    after = layer(x)
    assert torch.equal(after[:-1], before[:-1])
    assert not torch.equal(after[-1], before[-1])
    x[0] += 10
    assert (layer(x) != after).flatten(1).any(1).all()


def test_training_and_evaluation_are_equal() -> None:
    _, layer = make(2)
    x = batch(2)
    state = layer.state_dict()
    assert torch.equal(layer(x), layer.eval()(x))
    assert set(state) == {"weight", "bias"}
    assert not hasattr(layer, "running_mean")


def test_without_gains() -> None:
    layer = VirtualBatchNorm(nn.BatchNorm1d(4, affine=False), R).double()
    assert not layer.state_dict()
    z = layer(batch(0))[:R]
    torch.testing.assert_close(z.mean(0), torch.zeros(4, dtype=torch.float64), atol=1e-12, rtol=0)


def test_a_large_mean_does_not_cancel() -> None:
    _, layer = make(2)
    x = batch(2)
    single = copy.deepcopy(layer).float()((x + 4096).float())
    torch.testing.assert_close(single.double(), layer(x + 4096), rtol=1e-2, atol=1e-2)


def test_dtype_and_memory_format_are_kept() -> None:
    layer = make(2)[1].float()
    x = batch(2).float().to(memory_format=torch.channels_last)
    assert layer(x).is_contiguous(memory_format=torch.channels_last)
    half = x.bfloat16()
    assert torch.equal(layer(half), layer(half.float()).bfloat16())
    torch.testing.assert_close(layer(x), layer(x.contiguous()))


def test_gradients() -> None:
    _, layer = make(0)
    x = batch(0).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,))
    assert torch.autograd.gradgradcheck(layer, (x,))
