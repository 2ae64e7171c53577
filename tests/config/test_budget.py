"""The length of a run, in any unit."""

import pytest

from gan_lab.config.build import build


@pytest.mark.parametrize(
    ("overrides", "images"),
    [
        (["budget.images=500"], 500),
        (["budget.kimg=0.7"], 700),
        (["budget.epochs=2"], 2 * 1797),
        (["dataset=ring", "architecture=mlp", "budget.epochs=0.5", "dataset.batches_per_epoch=10"], 40),
        (["dataset.budget_images=1234"], 1234),
    ],
)
def test_every_unit_becomes_images_once(overrides: list[str], images: int, tiny) -> None:
    config = build(tiny(*overrides)).config
    assert config.budget.images == images
    assert config.budget.kimg is None and config.budget.epochs is None
    assert config.callbacks.budget.images == images


def test_linear_decay_ends_with_the_run(tiny) -> None:
    module = build(tiny("schedule=linear_decay", "budget.kimg=1")).module
    assert module.players()["generator"].schedules["lr"](1000) == 0
    assert module.players()["generator"].schedules["lr"](500) == 0.5


@pytest.mark.parametrize("without", ["~callbacks.budget", "callbacks.budget=null"])
def test_a_run_without_the_callback_ends_at_its_budget(without: str, tiny) -> None:
    from gan_lab.training.fit import fit

    assert fit(tiny(without, "budget.images=16")).module.images_seen == 16
