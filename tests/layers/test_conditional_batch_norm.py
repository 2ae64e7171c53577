"""Conditional batch norm."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from gan_lab.layers.conditional_batch_norm import ConditionalBatchNorm
from gan_lab.layers.labeled import labels_for

LABELS = torch.tensor([2, 0, 1, 1, 2, 2])


def make(dims: int, classes: int = 3) -> tuple[Any, ConditionalBatchNorm]:
    """A batch norm with random gains and shifts, and the conditional one made from it."""
    torch.manual_seed(0)
    plain = (nn.BatchNorm2d if dims else nn.BatchNorm1d)(4, eps=1e-3, momentum=0.3)
    nn.init.normal_(plain.weight)
    nn.init.normal_(plain.bias)
    return plain, ConditionalBatchNorm(copy.deepcopy(plain), classes)


def batch(dims: int) -> torch.Tensor:
    return 2 + 3 * torch.randn(6, 4, *[5] * dims, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dims", [0, 2])
def test_equal_rows_are_plain_batch_norm(dims: int, training: bool) -> None:
    plain, layer = make(dims)
    for _ in range(2):  # at the second call the running statistics have changed
        with labels_for(layer, LABELS):
            torch.testing.assert_close(layer(batch(dims)), plain(batch(dims)))
        torch.testing.assert_close(layer.norm.running_mean, plain.running_mean)
        torch.testing.assert_close(layer.norm.running_var, plain.running_var)
        plain.train(training)
        layer.train(training)


@pytest.mark.parametrize("dims", [0, 2])
def test_each_sample_has_the_gain_and_shift_of_its_label(dims: int) -> None:
    _, layer = make(dims)
    nn.init.normal_(layer.gain)
    nn.init.normal_(layer.shift)
    x = batch(dims)
    over = (0, 2, 3) if dims else (0,)
    z = (x - x.mean(over, keepdim=True)) / (x.var(over, unbiased=False, keepdim=True) + 1e-3).sqrt()
    with labels_for(layer, LABELS):
        y = layer(x)
    for row, label in enumerate(LABELS):
        for channel in range(4):
            expected = z[row, channel] * layer.gain[label, channel] + layer.shift[label, channel]
            torch.testing.assert_close(y[row, channel], expected, atol=1e-5, rtol=1e-5)


def test_a_norm_without_gains() -> None:
    layer = ConditionalBatchNorm(nn.BatchNorm1d(4, affine=False), 2)
    assert torch.equal(layer.gain, torch.ones(2, 4))
    assert torch.equal(layer.shift, torch.zeros(2, 4))


def test_the_only_parameters_are_the_tables() -> None:
    _, layer = make(2)
    assert {name: tuple(p.shape) for name, p in layer.named_parameters()} == {"gain": (3, 4), "shift": (3, 4)}
    assert set(layer.state_dict()) - {"gain", "shift"} == {
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
    }
    layer.norm.reset_parameters()  # would change gains and shifts if the norm were affine


def test_statistics_are_not_updated_if_tracking_is_off() -> None:
    _, layer = make(2)
    layer.norm.track_running_stats = False  # as the loop does for players that are not updated
    before = layer.norm.running_mean.clone()
    with labels_for(layer, LABELS):
        layer(batch(2))
    assert torch.equal(layer.norm.running_mean, before)
    layer.norm.track_running_stats = True
    with labels_for(layer, LABELS):
        layer(batch(2))
    assert not torch.equal(layer.norm.running_mean, before)


def test_labels_are_removed_afterwards() -> None:
    _, layer = make(2)
    sentence = r"^this network is conditioned on labels: call it with labels, int64 \(n,\)$"
    with pytest.raises(ValueError, match=sentence):
        layer(batch(2))
    with pytest.raises(ZeroDivisionError), labels_for(nn.Sequential(layer), LABELS):
        assert layer.labels is LABELS
        _ = 1 / 0
    assert layer.labels is None
    with labels_for(layer, None), pytest.raises(ValueError, match=sentence):
        layer(batch(2))


def test_dtype_and_memory_format_are_kept() -> None:
    _, layer = make(2)
    x = batch(2).to(memory_format=torch.channels_last)
    with labels_for(layer, LABELS):
        assert layer(x).is_contiguous(memory_format=torch.channels_last)
        assert layer(x.bfloat16()).dtype == torch.bfloat16
        assert layer.double()(x.double()).dtype == torch.float64
