"""The benchmark measures two loops that do the same work."""

import pytest
import torch

from gan_lab.benchmark.bare import bare_loop
from gan_lab.benchmark.report import Report, bench
from gan_lab.config.build import build
from gan_lab.config.compose import compose
from gan_lab.config.fit import fit


@pytest.mark.parametrize("model", ["dcgan", "wgan", "wgan_gp", "acgan", "projection_gan", "r3gan", "d2gan"])
def test_bare_loop_trains_the_same_networks(model: str, tiny) -> None:
    """As many moves of either player as in the frame, every weight moved, constraints held."""
    experiment = build(tiny(f"model={model}", "dataset.resolution=16"))
    before = {name: value.clone() for name, value in experiment.module.named_parameters()}
    loop = bare_loop(experiment.module, experiment.data, 8, torch.device("cpu"), "32-true")
    assert loop is not None
    counts = {"discriminator": 0, "generator": 0}
    loop.d_optimizer.register_step_post_hook(lambda *_: counts.update(discriminator=counts["discriminator"] + 1))
    loop.g_optimizer.register_step_post_hook(lambda *_: counts.update(generator=counts["generator"] + 1))
    for _ in range(10):
        loop.train_step()
    assert counts == {"discriminator": 10, "generator": 10 // experiment.module.parts.n_critic}
    still = {n for n, v in experiment.module.named_parameters() if torch.equal(v, before[n]) and "ema" not in n}
    assert still <= {"discriminator.output.bias"}
    if model == "wgan":
        assert max(p.abs().max() for p in experiment.module.discriminator.parameters()) <= 0.01


def test_games_without_a_bare_loop_have_none(tiny) -> None:
    for words in (["model=veegan"], ["model=d2gan", "regularizer=[drift]"], ["model=pggan", "budget.images=80"]):
        experiment = build(tiny(*words, "dataset.resolution=16"))
        assert bare_loop(experiment.module, experiment.data, 8, torch.device("cpu"), "32-true") is None


@pytest.mark.parametrize("overrides", [[], ["model=wgan_gp", "dataset=ring", "architecture=mlp"]])
def test_report_adds_up(overrides: list[str], capfd) -> None:
    tiny = ("architecture.generator.width=8", "architecture.discriminator.width=8", "hardware=cpu", "batch_size=16")
    settings = ("+bench.seconds=0.3", "+bench.rounds=2", "+bench.warmup_batches=2")
    report = bench(compose(*tiny, *overrides, *settings))
    assert sum(report.shares.values()) == pytest.approx(1, abs=0.05)
    assert set(report.shares) == {"data", "discriminator", "generator", "ema", "logging", "penalty", "rest"}
    assert report.shares["penalty"] == 0 or overrides  # a difference of times, which may be 0 for tiny networks
    assert len(report.ratios) == 2 and report.bare_images_per_second is not None
    text = report.text()
    for phrase in ("images per second", "seconds per 1000 images", "peak memory", "ratio to the bare loop"):
        assert phrase in text


def test_text_of_a_report() -> None:
    report = Report(500.0, 625.0, [0.8, 0.82, 0.79], {"data": 0.1, "discriminator": 0.9}, 2**30, "conditions")
    assert "      2.000" in report.text() and "1024 MiB" in report.text() and "0.800 (rounds 0.800" in report.text()


def test_framed_loop_sees_the_images_it_reports(tiny) -> None:
    experiment = fit(tiny("budget.images=64", "dataset.resolution=8"))
    assert experiment.module.images_seen == 64
