"""Own layers and own batch norm equal separate layers on the samples of each label."""

import copy

import pytest
import torch
from torch import Tensor, nn

from gan_lab.layers.batch_statistics import with_standing_statistics
from gan_lab.layers.labeled import labels_for
from gan_lab.layers.own_layers import OwnBatchNorm, OwnLayer

LABELS = torch.tensor([2, 0, 2, 0, 0, 2])  # label 1 does not occur
COUNT = 3


def inputs(*shape: int) -> Tensor:
    return torch.randn(len(LABELS), *shape, generator=torch.Generator().manual_seed(0))


LAYERS = {
    "linear": (nn.Linear(4, 5), (4,)),
    "linear without bias": (nn.Linear(4, 5, bias=False), (4,)),
    "convolution": (nn.Conv2d(4, 5, 3, 2, 1), (4, 6, 6)),
    "transposed convolution": (nn.ConvTranspose2d(4, 5, 4, 2, 1), (4, 6, 6)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_each_sample_passes_the_layer_of_its_label(name: str) -> None:
    plain, shape = LAYERS[name]
    own, x = OwnLayer(plain, COUNT), inputs(*shape)
    dim = 1 if isinstance(plain, nn.ConvTranspose2d) else 0
    weights = own.layer.weight.chunk(COUNT, dim)
    biases = None if own.layer.bias is None else own.layer.bias.chunk(COUNT)
    with labels_for(own, LABELS):
        found = own(x)
    for label in (0, 2):
        single = copy.deepcopy(plain)
        single.weight = nn.Parameter(weights[label])
        single.bias = None if biases is None else nn.Parameter(biases[label])
        torch.testing.assert_close(found[label == LABELS], single(x[label == LABELS]))
    assert torch.equal(weights[0], plain.weight)
    for other in weights[1:]:  # another draw of the same numbers
        assert not torch.equal(other, plain.weight)
        assert torch.equal(other.flatten().sort().values, plain.weight.flatten().sort().values)


def test_a_label_gets_a_gradient_from_its_own_samples_only() -> None:
    own, x = OwnLayer(nn.Linear(4, 5), COUNT), inputs(4)
    with labels_for(own, LABELS):
        own(x).square().sum().backward()
    slopes = own.layer.weight.grad.unflatten(0, (COUNT, -1))
    assert slopes[1].abs().max() == 0
    rows = x[LABELS == 2]
    values = rows @ own.layer.weight[10:].T + own.layer.bias[10:]
    torch.testing.assert_close(slopes[2], 2 * values.T @ rows)


@pytest.mark.parametrize(("make", "shape"), [(nn.BatchNorm1d, (4,)), (nn.BatchNorm2d, (4, 3, 3))])
def test_own_batch_norm_equals_a_batch_norm_for_each_label(make, shape: tuple[int, ...]) -> None:
    """In training and evaluation, with gains, shifts and running statistics; a missing label keeps its statistics."""
    plain = make(4)
    nn.init.normal_(plain.weight), nn.init.normal_(plain.bias)
    own, singles = OwnBatchNorm(plain, COUNT), [copy.deepcopy(plain) for _ in range(COUNT)]
    for factor in (1.0, 3.0):
        x = factor * inputs(*shape) + 1
        with labels_for(own, LABELS):
            found = own(x)
        for label in (0, 2):
            torch.testing.assert_close(found[label == LABELS], singles[label](x[label == LABELS]))
    own.eval()
    for name in ("running_mean", "running_var"):
        expected = torch.stack([getattr(single, name) for single in singles])
        torch.testing.assert_close(getattr(own, name).view(COUNT, -1), expected)
    with labels_for(own, LABELS):
        found = own(x)
    for label in (0, 2):
        torch.testing.assert_close(found[label == LABELS], singles[label].eval()(x[label == LABELS]))


def test_a_single_value_is_normalized_with_running_statistics() -> None:
    """Its own mean would make every output the shift, without a gradient."""
    own, x = OwnBatchNorm(nn.BatchNorm1d(4), COUNT), inputs(4)[:3]
    with labels_for(own, torch.tensor([0, 0, 1])):
        found = own(x)
    torch.testing.assert_close(found[2], x[2] / (1 + own.eps) ** 0.5)
    torch.testing.assert_close(found[:2], nn.BatchNorm1d(4)(x[:2]))
    assert own.running_mean.view(COUNT, -1)[1:].abs().max() == 0


def test_standing_statistics_are_those_of_each_label() -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = OwnBatchNorm(nn.BatchNorm1d(4), COUNT)

        def forward(self, x: Tensor) -> Tensor:
            with labels_for(self, LABELS):
                return self.norm(x)

    batches = [(k + inputs(4),) for k in range(3)]
    standing = with_standing_statistics(Network().eval(), batches)
    means = torch.stack([x[LABELS == 2].mean(0) for (x,) in batches]).mean(0)
    torch.testing.assert_close(standing.norm.running_mean.view(COUNT, -1)[2], means)


def test_without_labels_they_refuse() -> None:
    for layer in (OwnLayer(nn.Linear(4, 5), COUNT), OwnBatchNorm(nn.BatchNorm1d(4), COUNT)):
        with pytest.raises(ValueError, match="call it with labels"):
            layer(inputs(4))
