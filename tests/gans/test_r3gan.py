"""R3GAN: its published numbers and its schedules in training."""

import pytest

from gan_lab.config.build import build_parts
from gan_lab.config.compose import compose
from gan_lab.training.fit import fit

MILLION = 1_000_000
PRESETS = {
    "stacked_mnist": (512, 2, None, 1.0, 0.5, None),
    "cifar10": (512, 20, 0.5e-4, 0.05, 5, 0.55),
    "ffhq64": (256, 20, 0.5e-4, 2.0, 0.5, 0.3),
    "ffhq256": (256, 20, 0.5e-4, 150.0, 0.5, 0.3),
    "imagenet32": (4096, 200, 0.5e-4, 0.5, 50, 0.5),
    "imagenet64": (4096, 200, 0.5e-4, 1.0, 50, 0.4),
}
"""Batch size, burn-in in millions, last learning rate unless constant, first gamma, half-life in millions, last p."""


@pytest.mark.parametrize("preset", PRESETS)
def test_published_configurations(preset: str) -> None:
    batch_size, burn_in, last_lr, gamma, half_life, p = PRESETS[preset]
    cfg = compose(f"preset=r3gan_{preset}", "dataset.resolution=32", "dataset.channels=3", "budget.images=10000000")
    parts = build_parts(cfg)
    assert (cfg.batch_size, cfg.lr, list(cfg.betas), cfg.latent.dim) == (batch_size, 2e-4, [0.0, 0.9], 64)
    assert {name: penalty.weight for name, penalty in parts.penalties.items()} == {"r1": gamma, "r2": gamma}
    assert all(penalty.interval == 1 for penalty in parts.penalties.values())
    assert (cfg.augment._target_.endswith("NoAugmentation")) == (p is None)
    if p:
        assert (cfg.augment.policy, cfg.augment.multipliers.color, cfg.augment.p) == ("bgcc", 0.5, p)

    def at(images: float) -> dict[str, float]:
        return {name: schedule(round(images)) for name, schedule in parts.schedules.items()}

    start = {"beta2": 1, "penalty_weight": 1, "ema_half_life": 0, "augment_p": 0}
    end = {"beta2": 0.1, "penalty_weight": 0.1, "ema_half_life": 1, "augment_p": 1}
    if last_lr:
        start["lr"], end["lr"] = 1, last_lr / 2e-4
    assert at(0) == start
    assert at(burn_in * MILLION) == pytest.approx(end) and at(10**10) == pytest.approx(end)
    assert at(burn_in * MILLION / 2)["penalty_weight"] == pytest.approx(0.55)
    averaging = parts.scheduled_averaging
    assert averaging.decay(batch_size, 10**10) == pytest.approx(0.5 ** (batch_size / (half_life * MILLION)))
    assert averaging.decay(batch_size, 0) == 0


def test_schedules_in_training(tiny) -> None:
    """The burn-in is the first fifth of a run of the model; the average is the network at its start."""
    settings = ("dataset.resolution=8", "augment=ada", "augment.fixed=true", "augment.p=0.5", "budget.images=80")
    module = fit(tiny("model=r3gan", *settings, "~callbacks.train_log")).module
    group = module.runner.optimizer("discriminator").param_groups[0]
    assert (group["lr"], *group["betas"]) == pytest.approx((2e-3, 0, 0.99))
    p = [record["augment/p"][0].item() for record in module.records]
    assert p == pytest.approx([0, 0.25, *[0.5] * 8])
