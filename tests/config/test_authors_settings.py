"""Presets that claim the settings of the authors' code: numbers that are easily copied wrong."""

import pytest
import torch
from hydra.utils import instantiate

from gan_lab.config.build import build_growth
from gan_lab.config.compose import compose


def test_d2gan_starts_from_a_standard_deviation_of_a_hundredth() -> None:
    nodes = compose("experiment=d2gan_ring").architecture
    for name in ("generator", "discriminator", "second_discriminator"):
        torch.manual_seed(0)
        weights = [p.flatten() for p in instantiate(nodes[name]).parameters() if p.dim() > 1]
        assert torch.cat(weights).std().item() == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize(
    ("data", "source", "filter"),
    [
        ("cifar10", "uoft-cs/cifar10", "lanczos"),
        ("stl10", "jxie/stl10", "box"),
        ("imagenet32", "benjamin-paine/imagenet-1k-32x32", "lanczos"),
    ],
)
def test_d2gan_on_photographs(data: str, source: str, filter: str) -> None:
    """One setting for three data sets of 32 pixels; the score's protocol is 10 splits of 5,000 samples."""
    cfg = compose(f"experiment=d2gan_{data}")
    assert (cfg.dataset.source, cfg.dataset.resolution, cfg.dataset.get("filter", "lanczos")) == (source, 32, filter)
    assert (cfg.batch_size, cfg.lr, list(cfg.betas), cfg.loss.alpha, cfg.loss.beta) == (
        64,
        2e-4,
        [0.5, 0.999],
        0.2,
        0.2,
    )
    networks = cfg.architecture
    for name in ("generator", "discriminator", "second_discriminator"):
        node = networks[name]
        assert (node.init, node.init_scale, node.width, node.kernel) == ("normal", 0.01, 128, 5)
    score = cfg.evaluation.metrics.inception_score
    assert cfg.evaluation.samples == 50_000 and (score.splits, score.num_classes) == (10, 1008)


@pytest.mark.parametrize(("experiment", "gaussians"), [("unrolled_ring", 8), ("lsgan_ring", 9)])
def test_rings_with_both_ends_of_the_circle(experiment: str, gaussians: int) -> None:
    """The codes' circles are np.linspace(0, 2 pi, gaussians), of which two coincide."""
    dataset = compose(f"experiment={experiment}").dataset
    mixture = instantiate(dataset.mixture)
    assert dataset.num_classes == mixture.modes == gaussians - 1
    assert mixture.weights.tolist() == pytest.approx([2 / gaussians] + [1 / gaussians] * (gaussians - 2))


@pytest.mark.parametrize(
    ("growth", "fused"), [("even", False), ("theano", False), ("tf_1gpu", True), ("tf_8gpu", True)]
)
def test_the_tensorflow_presets_of_progan_pool_first(growth: str, fused: bool) -> None:
    cfg = compose("model=pggan", f"growth={growth}", "dataset=noise", "dataset.resolution=1024", "budget.images=100000")
    assert instantiate(cfg.architecture.discriminator, width=4).blocks[0].fused_scale is fused
    schedule = build_growth(cfg)
    assert schedule is not None and schedule.stage(0).resolution == 4


def test_lapgan_changes_momentum_and_learning_rate_every_45000_images() -> None:
    cfg = compose("model=lapgan")
    momentum, lr = (instantiate(cfg.schedule[name]) for name in ("momentum", "lr"))
    initial = cfg.optimizer.generator.momentum
    assert [initial * momentum(k * 45_000) for k in (0, 1, 250, 300)] == pytest.approx([0.5, 0.5008, 0.7, 0.7])
    assert lr(450_000) == pytest.approx(1.000004**-10, abs=1e-12)
    assert cfg.latent.dim == 100 + 16**2 + 32**2 and compose("experiment=lapgan_cifar10").latent.dim == 1080
