"""A loss or a gradient that is not finite stops a run before anybody moves by it."""

import pytest
import torch

from gan_lab.config.build import build
from gan_lab.errors import NonFiniteError

NAN = float("nan")


def spoiled(cfg, spoil, at: int):
    """The module of a run that is spoiled from batch `at` on, its weights before that batch, and what stopped it."""
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


def test_a_loss_that_is_no_number_moves_nobody(tiny) -> None:
    def spoil(module) -> None:
        module.discriminator_loss = lambda real, fake: (real.mean() - fake.mean()) * NAN

    module, before, message = spoiled(tiny("dataset.resolution=8", "budget.images=64"), spoil, 3)
    assert message == "the discriminator's term adversarial is nan (batch 3, 16 images seen)"
    assert all(torch.equal(value, before[key]) for key, value in module.named_parameters())
    assert module.images_seen == 16


def test_a_gradient_that_overflows_is_named_by_its_weight(tiny) -> None:
    def spoil(module) -> None:
        module.generator.get_parameter(key).register_hook(lambda gradient: gradient * float("inf"))

    cfg = tiny("dataset.resolution=8", "budget.images=64")
    key = next(name for name, _ in build(cfg).module.generator.named_parameters())
    module, before, message = spoiled(cfg, spoil, 2)
    assert message.startswith(f"the generator's gradient by {key} is ") and "(batch 2, 8 images seen)" in message
    after = dict(module.named_parameters())
    assert all(torch.equal(after[k], before[k]) for k in after if k.startswith("generator."))
    assert any(not torch.equal(after[k], before[k]) for k in after if k.startswith("discriminator."))  # moved before


def test_a_penalty_is_named_and_a_micro_batch_counts(tiny) -> None:
    def spoil(module) -> None:
        calls = []
        penalty = module.penalties["gradient_penalty"]
        module.weighted = lambda p, step: calls.append(p) or penalty(step) * (NAN if len(calls) % 2 == 0 else 1.0)

    cfg = tiny("model=wgan_gp", "dataset.resolution=16", "accumulate=2", "budget.images=64")
    _, _, message = spoiled(cfg, spoil, 2)
    assert message == "the discriminator's term gradient_penalty is nan (batch 2, 8 images seen)"


def test_switched_off_it_goes_on_and_notes_norms_as_before(tiny) -> None:
    words = ("dataset.resolution=8", "budget.images=160", "~callbacks.train_log")
    on, off = build(tiny(*words)), build(tiny(*words, "check_finite=false"))
    for experiment in (on, off):
        experiment.trainer.fit(experiment.module, datamodule=experiment.data)
    for (key, a), (_, b) in zip(on.module.named_parameters(), off.module.named_parameters(), strict=True):
        assert torch.equal(a, b), key
    assert [sorted(record) for record in on.module.records] == [sorted(record) for record in off.module.records]
    assert sum("grad_norm/generator" in record for record in on.module.records) == 2  # every tenth of twenty batches
    experiment = build(tiny(*words, "check_finite=false"))
    experiment.module.discriminator_loss = lambda real, fake: (real.mean() - fake.mean()) * NAN
    experiment.trainer.fit(experiment.module, datamodule=experiment.data)
    assert experiment.module.images_seen == 160
