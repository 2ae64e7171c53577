"""StyleGAN2: its published numbers, lazy penalties of both players, and the average style in training."""

import pytest
import torch

from gan_lab.config.build import build
from gan_lab.config.compose import compose
from gan_lab.training.fit import fit

SMALL = ("model=stylegan2", "dataset.resolution=8", "latent.dim=8")


@pytest.mark.parametrize(
    ("resolution", "batch", "gamma"),
    [(32, 32, 0.0064), (64, 32, 0.0256), (128, 32, 0.1024), (256, 16, 0.8192), (512, 8, 6.5536), (1024, 4, 52.4288)],
)
def test_gamma_follows_resolution_and_batch(resolution: int, batch: int, gamma: float) -> None:
    cfg = compose("model=stylegan2", f"dataset.resolution={resolution}", f"batch_size={batch}")
    assert cfg.regularizer.r1.weight == pytest.approx(gamma)


@pytest.mark.parametrize(
    ("preset", "numbers"),
    [
        ("config_f", (32, 4, 32768, 2.0e-3, 10.0, 10_000, 8, "resnet")),
        ("auto", (32, 4, 16384, 2.5e-3, 0.0064, 10_000, 2, "resnet")),
        ("paper256", (64, 8, 16384, 2.5e-3, 1.0, 20_000, 8, "resnet")),
        ("paper512", (64, 8, 32768, 2.5e-3, 0.5, 20_000, 8, "resnet")),
        ("paper1024", (32, 4, 32768, 2.0e-3, 2.0, 10_000, 8, "resnet")),
        ("cifar", (64, 32, 32768, 2.5e-3, 0.01, 500_000, 2, "orig")),
    ],
)
def test_published_configurations(preset: str, numbers: tuple) -> None:
    cfg = compose(f"preset=stylegan2_{preset}", "dataset.resolution=32")
    generator, discriminator = cfg.architecture.generator, cfg.architecture.discriminator
    assert generator.channel_base == discriminator.channel_base
    found = (
        cfg.batch_size, discriminator.minibatch_group, generator.channel_base, cfg.lr, cfg.regularizer.r1.weight,
        cfg.averaging.half_life_images, generator.mapping_layers, discriminator.blocks,
    )  # fmt: skip
    assert found[:-1] == pytest.approx(numbers[:-1]) and found[-1] == numbers[-1]
    assert (cfg.averaging.rampup is None) == (preset not in ("auto", "cifar"))
    assert (cfg.regularizer.path_length is None) == (preset == "cifar") == (generator.mixing == 0)


def test_settings_for_transfer() -> None:
    """Those of `auto`, and what the authors change for training from other weights."""
    plain, transfer = (compose(f"preset=stylegan2_{name}", "augment=ada") for name in ("auto", "transfer"))
    assert (transfer.averaging.rampup, transfer.augment.adapt_images) == (None, 100_000)
    assert (plain.averaging.rampup, plain.augment.adapt_images) == (0.05, 500_000)
    plain.averaging, plain.augment, plain.run = transfer.averaging, transfer.augment, transfer.run
    assert plain == transfer


def test_learning_rates_of_the_players(tiny) -> None:
    """Compensated for penalties at every 16th and 4th batch; cifar's generator equals one with the lazy penalty."""
    plain = {
        name: player.optimizer().param_groups[0] for name, player in build(tiny(*SMALL)).module.runner.players.items()
    }
    assert plain["discriminator"]["lr"] == pytest.approx(0.00188235, rel=1e-5)
    assert plain["discriminator"]["betas"] == pytest.approx((0, 0.9905855))
    assert plain["generator"]["lr"] == pytest.approx(0.0016)
    assert plain["generator"]["betas"] == pytest.approx((0, 0.9919920))
    cifar = build(tiny(*SMALL, "preset=stylegan2_cifar")).module.runner.players["generator"].optimizer()
    assert cifar.param_groups[0]["lr"] == pytest.approx(0.002)
    assert cifar.param_groups[0]["betas"] == pytest.approx((0, 0.9919920))


def test_training(tiny) -> None:
    """Lazy updates at their batches; the average style is copied."""
    module = fit(tiny(*SMALL, "budget.images=128", "~callbacks.train_log")).module
    due = {
        term: [number for number, record in enumerate(module.records, 1) if term in record]
        for term in ("discriminator/r1", "generator/path_length")
    }
    assert due == {"discriminator/r1": [16], "generator/path_length": [4, 8, 12, 16]}
    penalty = module.penalties.of("generator")["path_length"]
    assert penalty.mean > 0 and penalty.weight == 2 and penalty.decay == 0.01
    average = module.generator.styles.average
    assert average.abs().max() > 0 and torch.equal(average, module.averaged["generator"].styles.average)
