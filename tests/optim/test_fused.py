"""Fused optimizer steps."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, RMSprop

from gan_lab.optim.fused import fuse


def trained(make, fused: bool) -> nn.Linear:
    torch.manual_seed(0)
    network = nn.Linear(5, 3)
    optimizer = fuse(make(network.parameters())) if fused else make(network.parameters())
    assert bool(optimizer.param_groups[0]["fused"]) == fused
    for _ in range(20):
        optimizer.zero_grad()
        network(torch.randn(7, 5)).square().mean().backward()
        optimizer.step()
    return network


@pytest.mark.parametrize(
    "make",
    [
        partial(Adam, lr=0.01, betas=(0.5, 0.999)),
        partial(Adam, lr=0.01, betas=(0.0, 0.99), weight_decay=0.1, amsgrad=True),
        partial(AdamW, lr=0.01),
        partial(SGD, lr=0.01, momentum=0.9, nesterov=True),
    ],
    ids=["adam", "amsgrad", "adamw", "sgd"],
)
def test_fused_steps_equal_those_of_the_loop_up_to_rounding(make):
    for fused, single in zip(trained(make, True).parameters(), trained(make, False).parameters(), strict=True):
        torch.testing.assert_close(fused, single, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("setting", [{"fused": False}, {"foreach": True}, {"capturable": True}])
def test_a_form_that_the_settings_choose_is_kept(setting):
    optimizer = Adam([nn.Parameter(torch.ones(2))], **setting)
    assert not fuse(optimizer).param_groups[0]["fused"]


def test_an_optimizer_without_such_a_step_is_unchanged():
    assert "fused" not in fuse(RMSprop([nn.Parameter(torch.ones(2))])).param_groups[0]


def test_the_step_is_left_to_the_loss_scaler_as_before():
    # A true attribute would let torch's GradScaler give scaled gradients to the step, and to the norms before it.
    assert not getattr(fuse(Adam([nn.Parameter(torch.ones(2))])), "_step_supports_amp_scaling", False)
