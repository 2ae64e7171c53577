"""Standing statistics and batch statistics of a trained network's batch norms."""

import pytest
import torch
from torch import nn

from gan_lab.layers.batch_statistics import with_batch_statistics, with_standing_statistics


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return (
        nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2), nn.BatchNorm1d(2))
        .double()
        .eval()
    )


def test_standing_statistics_are_the_mean_of_the_batches() -> None:
    plain = network()
    batches = [torch.randn(n, 3, dtype=torch.float64) for n in (8, 5, 13)]
    standing = with_standing_statistics(plain, [(batch,) for batch in batches])
    first, second = standing[1], standing[4]
    inputs = [plain[0](batch) for batch in batches]
    assert torch.allclose(first.running_mean, torch.stack([x.mean(0) for x in inputs]).mean(0), atol=1e-14)
    assert torch.allclose(first.running_var, torch.stack([x.var(0) for x in inputs]).mean(0), atol=1e-14)
    # The first norm uses each batch's own statistics; dropout is off.
    hidden = [(x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt() for x in inputs]
    later = [plain[3](x) for x in hidden]
    assert torch.allclose(second.running_mean, torch.stack([x.mean(0) for x in later]).mean(0), atol=1e-14)
    assert not any(layer.training for layer in standing.modules())
    assert torch.count_nonzero(plain[1].running_mean) == 0  # the network itself is unchanged


def test_batch_statistics_are_those_of_the_batch() -> None:
    plain, x = network(), torch.randn(6, 3, dtype=torch.float64)
    other = with_batch_statistics(plain)
    h = plain[0](x)
    h = plain[3]((h - h.mean(0)) / (h.var(0, correction=0) + 1e-5).sqrt())
    expected = (h - h.mean(0)) / (h.var(0, correction=0) + 1e-5).sqrt()
    assert torch.allclose(other(x), expected, atol=1e-12)
    assert not torch.allclose(plain(x), expected, atol=1e-2)
    assert torch.allclose(other(x), expected, atol=1e-12)  # no state of the first call


def test_networks_without_batch_norm_are_refused() -> None:
    for adjust in (lambda n: with_standing_statistics(n, []), with_batch_statistics):
        with pytest.raises(ValueError, match="no batch norm with running statistics; set batch_norm=running"):
            adjust(nn.Linear(2, 2))
