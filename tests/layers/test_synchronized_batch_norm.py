"""Synchronized batch norm in one process; tests/test_processes.py tests two."""

import copy

import pytest
import torch
from torch import nn

from gan_lab.architectures.synchronized import SynchronizedBatch
from gan_lab.config.build import build
from gan_lab.errors import ConfigError
from gan_lab.layers import synchronized_batch_norm as sync

CASES = [
    (nn.BatchNorm1d(3), (5, 3)),
    (nn.BatchNorm2d(3), (4, 3, 6, 6)),
    (nn.BatchNorm2d(3, affine=False), (4, 3, 2, 2)),
]


@pytest.fixture
def two_equal_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate two processes with the same batch: every sum is doubled."""
    monkeypatch.setattr(sync, "num_processes", lambda: 2)
    monkeypatch.setattr(sync, "all_reduce", lambda x: 2 * x)


@pytest.mark.parametrize(("norm", "shape"), CASES)
@pytest.mark.usefixtures("two_equal_processes")
def test_two_equal_batches_have_the_statistics_of_one(norm: nn.Module, shape: tuple[int, ...]) -> None:
    """Values, gradients and running means are those of `nn.BatchNorm` on both batches together."""
    torch.manual_seed(0)
    reference = copy.deepcopy(norm)
    made = sync.synchronized(copy.deepcopy(norm))
    x = (3 + 2 * torch.randn(shape)).requires_grad_()
    y = x.detach().clone().requires_grad_()
    weight = torch.randn(shape)
    expected = reference(torch.cat([y, y]))[: len(y)]
    found = made(x)
    torch.testing.assert_close(found, expected)
    (2 * (found * weight).sum()).backward()  # both processes' losses
    (reference(torch.cat([y, y])) * torch.cat([weight, weight])).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-5)
    made(x)  # as often as the reference
    torch.testing.assert_close(made.running_mean, reference.running_mean)
    torch.testing.assert_close(made.running_var, reference.running_var)
    assert made.num_batches_tracked == 2


@pytest.mark.usefixtures("two_equal_processes")
def test_running_statistics_change_in_training_only_if_tracked(monkeypatch: pytest.MonkeyPatch) -> None:
    made = sync.synchronized(nn.BatchNorm2d(3))
    x = torch.randn(4, 3, 2, 2) + 5
    made.track_running_stats = False
    normalized = made(x)
    assert abs(normalized.mean()) < 1e-5 and (made.running_mean == 0).all()
    made.track_running_stats = True
    monkeypatch.setattr(sync, "all_reduce", None)  # must not be called
    torch.testing.assert_close(made.eval()(x), nn.BatchNorm2d(3).eval()(x))


@pytest.mark.usefixtures("two_equal_processes")
def test_plain_mean_of_statistics_without_momentum_and_half_precision() -> None:
    made = sync.synchronized(nn.BatchNorm1d(2, momentum=None))
    for shift in (1.0, 3.0):
        assert made((torch.randn(64, 2) * 0 + shift).bfloat16()).dtype == torch.bfloat16
    assert (made.running_mean == 2).all()


def test_one_process_gives_plain_batch_norm(tiny) -> None:
    overrides = (
        "dataset.resolution=16",
        "wrapper/discriminator=[synchronized_batch_norm]",
        "wrapper/generator=[synchronized_batch_norm]",
    )
    module = build(tiny(*overrides)).module
    kinds = {type(m) for m in module.modules() if isinstance(m, nn.BatchNorm2d)}
    assert kinds == {sync.SynchronizedBatchNorm2d}
    plain = build(tiny("dataset.resolution=16")).module
    plain.load_state_dict(module.state_dict())
    z = module.sample_inputs(4, 0)[0]
    assert torch.equal(module.generator(z), plain.generator(z))


def test_networks_without_batch_norm_are_refused(tiny) -> None:
    with pytest.raises(ValueError, match="this discriminator has none"):
        SynchronizedBatch("discriminator")(nn.Linear(1, 1))
    with pytest.raises(ConfigError, match=r"architecture\.generator\.norm=batch, or remove the wrapper"):
        build(tiny("model=wgan_gp", "architecture.generator.norm=none", "wrapper/generator=[synchronized_batch_norm]"))
