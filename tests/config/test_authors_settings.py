"""Presets that claim the settings of the authors' code: numbers that are easily copied wrong."""

import pytest
import torch
from hydra.utils import instantiate

from gan_lab.config.build import build, build_growth
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


@pytest.mark.parametrize("packs", [1, 4])
@pytest.mark.parametrize(("experiment", "modes"), [("pacgan_ring", 8), ("pacgan_grid", 25)])
def test_pacgan_has_batches_of_packs(experiment: str, modes: int, packs: int) -> None:
    """400,000 batches of 100 packs; four hidden layers of 400 units, three of 200 with five pieces."""
    cfg = compose(f"experiment={experiment}", f"wrapper.discriminator.packing.size={packs}")
    assert cfg.batch_size == 100 * packs and cfg.dataset.budget_images == 400_000 * cfg.batch_size
    mixture = instantiate(cfg.dataset.mixture)
    assert (mixture.modes, mixture.std) == (modes, {8: 0.01, 25: 0.05}[modes])
    assert max(x for center in mixture.centers for x in center) == {8: 1, 25: 4}[modes]
    generator, discriminator = (
        sum(p.numel() for p in instantiate(cfg.architecture[name]).parameters())
        for name in ("generator", "discriminator")
    )
    assert generator == 2 * 400 + 3 * 400**2 + 4 * 2 * 400 + 400 * 2 + 2  # gains and shifts of norms, no other biases
    assert discriminator == 3 * 1000 + 2 * 201 * 1000 + 201  # of single points


@pytest.mark.parametrize(
    ("experiment", "radius", "std"), [("ring", 2 / 1.414, 0.02 / 1.414), ("grid", 4 / 2.828, 0.05 / 2.828)]
)
def test_wgan_gp_on_points(experiment: str, radius: float, std: float) -> None:
    cfg = compose(f"experiment=wgan_gp_{experiment}")
    assert (cfg.n_critic, cfg.lr, cfg.regularizer.gradient_penalty.weight) == (5, 1e-4, 0.1)
    assert cfg.dataset.budget_images == 100_000 * 5 * 256 and cfg.batch_size == 256
    mixture = instantiate(cfg.dataset.mixture)
    assert mixture.std == pytest.approx(std)
    assert max(x for center in mixture.centers for x in center) == pytest.approx(radius)


@pytest.mark.parametrize("experiment", ["ring", "grid", "spiral"])
def test_wgan_gp_on_points_begins_with_he_weights(experiment: str) -> None:
    """tflib's Linear(initialization="he"): a standard deviation of sqrt(2 / inputs), 1 in the first layer."""
    networks = compose(f"experiment=wgan_gp_{experiment}").architecture
    torch.manual_seed(0)
    for name in ("generator", "discriminator"):
        network = instantiate(networks[name])
        first, *hidden, _ = (layer.weight for layer in network.modules() if isinstance(layer, torch.nn.Linear))
        assert first.std().item() == pytest.approx(1, rel=0.1)
        for weight in hidden:
            assert weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.02)


def test_bigan_decays_weights_as_with_losses_of_twice_the_size() -> None:
    """The code has half of our losses and adds 2.5e-5 times the weights to their gradient."""
    optimizer = compose("experiment=bigan_mnist").optimizer
    assert optimizer.generator.weight_decay == optimizer.discriminator.weight_decay == 2 * 2.5e-5


@pytest.mark.parametrize(("experiment", "eps"), [("semi_supervised_mnist", 1e-4), ("biggan_cifar10", 1e-8)])
def test_epsilon_of_adam(experiment: str, eps: float) -> None:
    """Salimans et al. add 1e-8 below the root; BigGAN's PyTorch code has 1e-8, that of the paper 1e-6."""
    optimizer = compose(f"experiment={experiment}").optimizer
    assert optimizer.generator.eps == optimizer.discriminator.eps == eps


def test_d2gan_is_compared_with_gans_of_its_settings() -> None:
    """Only losses and second discriminator differ."""
    configs = [compose("experiment=d2gan_ring", f"model={model}") for model in ("d2gan", "gan", "unrolled_gan")]
    for cfg in configs:
        assert (cfg.lr, cfg.batch_size, cfg.latent.dim, list(cfg.betas)) == (2e-4, 512, 256, [0.5, 0.999])
        assert cfg.schedule == configs[0].schedule and cfg.dataset == configs[0].dataset
        assert all(cfg.optimizer[player].lr == 2e-4 for player in ("generator", "discriminator"))
        for name in ("generator", "discriminator"):
            assert cfg.architecture[name] == configs[0].architecture[name]


def test_ali_on_points() -> None:
    """Layers of the code: encoder 4-400-400-2 and decoder 2-400-400-400-400-2 with batch norm, maxout 4-3x200x5-1."""
    experiment = build(compose("experiment=ali_ring", "budget.images=100", "hardware=cpu", "run.name=x"))
    networks = (experiment.module.encoder, experiment.module.generator, experiment.module.discriminator)
    found = [sum(parameter.numel() for parameter in network.parameters()) for network in networks]
    width, maxout = 400, 200 * 5
    hidden = width * width + 2 * width
    assert found == [
        4 * width + 2 * width + hidden + width * 2 + 2,
        2 * width + 2 * width + 3 * hidden + width * 2 + 2,
        4 * maxout + maxout + 2 * (200 * maxout + maxout) + 200 + 1,
    ]
    cfg = experiment.config
    assert (cfg.lr, list(cfg.betas), cfg.batch_size, cfg.latent.dim) == (1e-4, [0.8, 0.999], 100, 2)
