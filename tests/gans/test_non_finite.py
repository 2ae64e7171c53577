"""A non-finite loss or gradient stops a run before it updates any weights."""

import pytest
import torch
from torch import Tensor

from gan_lab.config.build import build
from gan_lab.errors import NonFiniteError
from gan_lab.step import Step

NAN = float("nan")


def spoiled(cfg, spoil, at: int):
    """The module of a run that is spoiled from batch `at` on, its weights before that batch, and the exception."""
    experiment = build(cfg)
    module, before = experiment.module, {}
    step = module.training_step

    def training_step(batch, batch_idx):
        if module.batches_seen == at - 1:
            spoil(module)
            before.update({key: value.clone() for key, value in module.named_parameters()})
        step(batch, batch_idx)

    module.training_step = training_step
    with pytest.raises(NonFiniteError) as stopped:
        experiment.trainer.fit(module, datamodule=experiment.data)
    return module, before, str(stopped.value)


def test_a_nan_loss_updates_no_weights(tiny) -> None:
    def spoil(module) -> None:
        module.discriminator_criterion = lambda real, fake: (real.mean() - fake.mean()) * NAN

    module, before, message = spoiled(tiny("dataset.resolution=8", "budget.images=64"), spoil, 3)
    assert message == "the discriminator's term adversarial is nan (batch 3, 16 images seen)"
    assert all(torch.equal(value, before[key]) for key, value in module.named_parameters())
    assert module.images_seen == 16


def test_the_message_names_the_weight_of_an_infinite_gradient(tiny) -> None:
    def spoil(module) -> None:
        module.generator.get_parameter(key).register_hook(lambda gradient: gradient * float("inf"))

    cfg = tiny("dataset.resolution=8", "budget.images=64")
    key = next(name for name, _ in build(cfg).module.generator.named_parameters())
    module, before, message = spoiled(cfg, spoil, 2)
    assert message.startswith(f"the generator's gradient by {key} is ") and "(batch 2, 8 images seen)" in message
    after = dict(module.named_parameters())
    assert all(torch.equal(after[k], before[k]) for k in after if k.startswith("generator."))
    assert any(not torch.equal(after[k], before[k]) for k in after if k.startswith("discriminator."))  # updated before


class Faulty:
    """A penalty that is 0 until its fourth call: the second micro-batch of the second batch."""

    weight, interval, player, per_sample = 1.0, 1, "discriminator", False

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, step: Step) -> Tensor:
        self.calls += 1
        return step.real.logits.mean() * (NAN if self.calls == 4 else 0.0)


def test_the_message_names_a_penalty_of_a_single_micro_batch(tiny) -> None:
    overrides = ("+regularizer.faulty._target_=tests.gans.test_non_finite.Faulty", "allow_targets=[tests]")
    experiment = build(tiny("model=wgan_gp", *overrides, "dataset.resolution=16", "accumulate=2", "budget.images=64"))
    with pytest.raises(NonFiniteError) as stopped:
        experiment.trainer.fit(experiment.module, datamodule=experiment.data)
    assert str(stopped.value) == "the discriminator's term faulty is nan (batch 2, 8 images seen)"


def test_without_the_check_the_run_continues_and_records_norms(tiny) -> None:
    overrides = ("dataset.resolution=8", "budget.images=160", "~callbacks.train_log")
    on, off = build(tiny(*overrides)), build(tiny(*overrides, "trouble.check_finite=false"))
    for experiment in (on, off):
        experiment.trainer.fit(experiment.module, datamodule=experiment.data)
    for (key, a), (_, b) in zip(on.module.named_parameters(), off.module.named_parameters(), strict=True):
        assert torch.equal(a, b), key
    assert [sorted(record) for record in on.module.records] == [sorted(record) for record in off.module.records]
    assert sum("grad_norm/generator" in record for record in on.module.records) == 2  # every tenth of twenty batches
    experiment = build(tiny(*overrides, "trouble.check_finite=false"))
    experiment.module.discriminator_criterion = lambda real, fake: (real.mean() - fake.mean()) * NAN
    experiment.trainer.fit(experiment.module, datamodule=experiment.data)
    assert experiment.module.images_seen == 160
