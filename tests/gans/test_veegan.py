"""VEEGAN: which pairs are judged and with what sign, an independent copy of its moves, and who moves."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.joint import WithLatents
from gan_lab.architectures.mlp import MLPDiscriminator
from gan_lab.config.build import build
from gan_lab.config.fit import fit
from gan_lab.errors import ConfigError
from gan_lab.gans.labels import LabelPrior
from gan_lab.gans.veegan import VEEGAN
from gan_lab.noise import Noise, mix
from gan_lab.regularizers.penalties import R1
from gan_lab.regularizers.selection import TopK
from tests.gans.game import Discriminator, Generator, Points, state, train
from tests.gans.players import (
    Encoder,
    assert_each_moves_itself,
    assert_micro_batches_make_no_difference,
    make_parts,
)

BATCH = {"image": Points(8).points}


def make_game(norm: bool = False, reconstruction_weight: float = 1.0, **settings) -> VEEGAN:
    torch.manual_seed(0)
    inside = MLPDiscriminator(2 + 3, None, 8, "batch" if norm else "none")
    networks = Generator(norm), WithLatents(3)(inside), Encoder(norm)
    settings.setdefault("rate", 0.02)  # distances are sums
    return VEEGAN(*networks, make_parts("reconstructor", **settings), reconstruction_weight)


def test_one_batch_by_hand() -> None:
    """D: real pairs (x, F(x)) high; G: -C + |z - F(G(z))|^2; F: the second alone. Plain gradient steps."""
    game = make_game()
    x, keys = Points(4).points, [mix(0, 1, phase) for phase in range(3)]
    g, d, f = (copy.deepcopy(n) for n in (game.generator, game.discriminator.network, game.reconstructor))
    train(game, 1, size=4)

    def judge(samples: Tensor, latents: Tensor) -> Tensor:
        return d(torch.cat([samples, latents], 1))

    def descend(network: nn.Module, value: Tensor) -> None:
        slopes = torch.autograd.grad(value, list(network.parameters()))
        with torch.no_grad():
            for parameter, slope in zip(network.parameters(), slopes, strict=True):
                parameter -= 0.02 * slope

    z = [Noise(key, 4).normal(3) for key in keys]
    paired = judge(x, f(x).detach()), judge(g(z[0]).detach(), z[0])
    descend(d, F.softplus(-paired[0]).mean() + F.softplus(paired[1]).mean())
    descend(g, -judge(g(z[1]), z[1]).mean() + (z[1] - f(g(z[1]))).pow(2).sum(1).mean())
    descend(f, (z[2] - f(g(z[2]).detach())).pow(2).sum(1).mean())
    for ours, theirs in ((game.generator, g), (game.discriminator.network, d), (game.reconstructor, f)):
        for key, value in state(ours).items():
            torch.testing.assert_close(value, theirs.state_dict()[key], atol=1e-6, rtol=0)


def test_a_reconstructor_that_inverts_the_generator_leaves_only_the_logit() -> None:
    class Same(nn.Module):
        def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
            return x

    joint = WithLatents(2)(MLPDiscriminator(4, None, 8))
    game = VEEGAN(Same(), joint, Same(), make_parts("reconstructor", latent_dim=2))
    terms = game.generator_terms(BATCH, Noise(1, 8))
    z = Noise(1, 8).normal(2)
    assert terms["reconstruction"].item() == 0
    torch.testing.assert_close(terms["adversarial"], -joint.network(torch.cat([z, z], 1)).mean())
    assert game.reconstructor_terms(BATCH, Noise(1, 8))["reconstruction"].item() == 0


def test_the_best_discriminator_tells_the_divergence() -> None:
    """With C the log ratio of real to generated density, the generator's term is KL(generated || real).

    z ~ N(0, 1), G(z) = z + 1, against x ~ N(0, 1) with F(x) = x - 1: the pairs lie on one line and differ by their x,
    N(1, 1) against N(0, 1), whose divergence is 1/2. C = ((x - 1)^2 - x^2) / 2 = 1/2 - x.
    """

    class Plus(nn.Module):
        def __init__(self, b: float) -> None:
            super().__init__()
            self.b = b

        def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
            return x + self.b

    joint = WithLatents(1)(MLPDiscriminator(2, None, 8))
    joint.features = lambda pairs, labels=None: pairs
    joint.head = lambda pairs, labels=None: 0.5 - pairs[:, 0]
    game = VEEGAN(Plus(1.0), joint, Plus(-1.0), make_parts("reconstructor", latent_dim=1))
    value = game.generator_terms({"image": torch.zeros(100_000, 1)}, Noise(0, 100_000))["adversarial"]
    assert value.item() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("norm", [False, True])
def test_each_player_moves_only_itself(norm: bool) -> None:
    assert_each_moves_itself(make_game(norm), ["discriminator", "generator", "reconstructor"])


def test_micro_batches() -> None:
    assert_micro_batches_make_no_difference(make_game)


def test_latents_of_real_samples_carry_no_gradient() -> None:
    """The reconstructor learns from its own distance alone, in this move as in a loss that compares features."""
    game = make_game()
    for step in (game.discriminator_step(BATCH, Noise(1, 8)), game.generator_step(BATCH, Noise(1, 8))):
        slopes = torch.autograd.grad(step.real.logits.sum(), list(game.reconstructor.parameters()), allow_unused=True)
        assert all(slope is None for slope in slopes)


def test_augmentation_changes_the_sample_that_is_judged() -> None:
    game = make_game(labels=LabelPrior(5, "data"))
    game.augment.forward = lambda images, noise: images + 5
    batch = {**BATCH, "label": torch.arange(8) % 5}
    step = game.generator_step(batch, Noise(1, 8))
    latents = Noise(1, 8).normal(3)
    assert torch.equal(step.latents, latents)
    assert torch.equal(step.fake.samples, game.generator(latents))
    for judged, z in ((step.fake, latents), (step.real, game.reconstructor(BATCH["image"]))):
        assert torch.equal(judged.labels, batch["label"])
        expected = game.discriminator.network(torch.cat([judged.samples + 5, z], 1))
        torch.testing.assert_close(judged.logits, expected)


def test_penalties_move_the_sample_alone() -> None:
    """R1 of a pair: the slope by x with F(x) held."""
    game = make_game(penalties={"r1": R1(2.0)})
    step = game.discriminator_step(BATCH, Noise(1, 8))
    x, z = BATCH["image"].clone().requires_grad_(), game.reconstructor(BATCH["image"]).detach()
    (slope,) = torch.autograd.grad(game.discriminator.network(torch.cat([x, z], 1)).sum(), x)
    value = game.penalties["r1"](step)
    torch.testing.assert_close(value, slope.square().sum(1).mean() / 2)


def test_several_batches_and_selection() -> None:
    game = make_game(generator_batches=3, selection=TopK(0.5, 1.0))
    game.images_seen = 100
    step = game.generator_step(BATCH, Noise(1, 8))
    assert step.fake.logits.shape == (24,) == step.latents.shape[:1]
    kept = step.fake.logits.topk(12).values
    torch.testing.assert_close(game.generator_loss(step), -kept.mean())


def test_wrong_options(tiny) -> None:
    with pytest.raises(ValueError, match=r"^game\.reconstruction_weight=-1\.0 is not allowed: it must be at least 0$"):
        make_game(reconstruction_weight=-1.0)
    with pytest.raises(ValueError, match=r"^model=veegan judges samples beside their latents"):
        VEEGAN(Generator(), Discriminator(), Encoder(), make_parts("reconstructor"))
    with pytest.raises(ConfigError, match=r"^model=veegan judges samples beside their latents"):
        build(tiny("model=veegan", "wrapper.discriminator.joint=null"))


@pytest.mark.parametrize(
    "more",
    [
        ("wrapper=[packing]",),
        ("conditioning=auxiliary_classifier", "wrapper=[spectral_norm]"),
        ("conditioning=projection", "augment=diffaugment"),
        ("conditioning=concat", "architecture.discriminator.norm=none", "regularizer=[gradient_penalty]"),
    ],
)
def test_with_other_parts(more: tuple[str, ...], tiny) -> None:
    cfg = tiny("model=veegan", "dataset.resolution=8", "budget.images=24", *more)
    before = {key: value.clone() for key, value in build(cfg).module.named_parameters()}
    game = fit(cfg).module
    for key, value in game.named_parameters():
        assert torch.isfinite(value).all() and not torch.equal(value, before[key]), key


def test_reads_latents_off_points(tiny) -> None:
    """After some hundred batches the reconstructor knows most of a latent of two dimensions."""
    settings = ("model=veegan", "dataset=ring", "architecture=mlp", "latent.dim=2", "latent.distribution=normal")
    cfg = tiny(*settings, "batch_size=64", "lr=2e-3", "budget.images=16000", "architecture.discriminator.width=64")
    game = fit(cfg).module
    z = game.sample_latents(500, 1)
    with torch.no_grad():
        assert (game.reconstructor(game.generator(z)) - z).square().mean() < 0.3
