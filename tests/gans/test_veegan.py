"""VEEGAN: the pairs and the sign of their logits, an independent computation of its updates, the updated players."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.joint import WithLatents
from gan_lab.architectures.mlp import MLPDiscriminator
from gan_lab.config.build import build
from gan_lab.errors import ConfigError
from gan_lab.gans.conditions import Labels
from gan_lab.gans.veegan import VEEGAN
from gan_lab.noise import Noise
from gan_lab.regularizers.penalties import R1
from gan_lab.regularizers.selection import TopK
from gan_lab.training.fit import fit
from tests.gans.test_two_player import Spy
from tests.helpers.player_updates import (
    Encoder,
    assert_each_updates_only_itself,
    assert_micro_batches_make_no_difference,
    make_parts,
)
from tests.helpers.points_gan import Discriminator, Generator, Points, latents_of, state, train

BATCH = {"image": Points(8).points}
NOISE = Noise(1, 8)


def make_veegan(norm: bool = False, reconstruction_weight: float = 1.0, **settings) -> VEEGAN:
    torch.manual_seed(0)
    inside = MLPDiscriminator(2 + 3, None, 8, "batch" if norm else "none")
    networks = Generator(norm), WithLatents(3)(inside), Encoder(norm)
    settings.setdefault("lr", 0.02)  # distances are sums
    return VEEGAN(*networks, make_parts("reconstructor", **settings), reconstruction_weight)


def test_one_batch_by_hand() -> None:
    """D: real pairs (x, F(x)) high; G: -C + |z - F(G(z))|^2; F: the second alone. Plain gradient steps."""
    gan = make_veegan()
    x = Points(4).points
    g, d, f = (copy.deepcopy(n) for n in (gan.generator, gan.discriminator.network, gan.reconstructor))
    train(gan, 1, size=4)

    def score(samples: Tensor, latents: Tensor) -> Tensor:
        return d(torch.cat([samples, latents], 1))

    def descend(network: nn.Module, value: Tensor) -> None:
        slopes = torch.autograd.grad(value, list(network.parameters()))
        with torch.no_grad():
            for parameter, slope in zip(network.parameters(), slopes, strict=True):
                parameter -= 0.02 * slope

    z = [latents_of(update) for update in ("discriminator", "generator", "reconstructor")]
    paired = score(x, f(x).detach()), score(g(z[0]).detach(), z[0])
    descend(d, F.softplus(-paired[0]).mean() + F.softplus(paired[1]).mean())
    descend(g, -score(g(z[1]), z[1]).mean() + (z[1] - f(g(z[1]))).pow(2).sum(1).mean())
    descend(f, (z[2] - f(g(z[2]).detach())).pow(2).sum(1).mean())
    for ours, theirs in ((gan.generator, g), (gan.discriminator.network, d), (gan.reconstructor, f)):
        for key, value in state(ours).items():
            torch.testing.assert_close(value, theirs.state_dict()[key], atol=1e-6, rtol=0)


def test_a_reconstructor_that_inverts_the_generator_leaves_only_the_logit() -> None:
    class Same(nn.Module):
        def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
            return x

    joint = WithLatents(2)(MLPDiscriminator(4, None, 8))
    gan = VEEGAN(Same(), joint, Same(), make_parts("reconstructor", latent_dim=2))
    terms = gan.generator_loss(gan.generator_step(BATCH, NOISE))
    z = NOISE.child("latents").normal(2)
    assert terms["reconstruction"].item() == 0
    torch.testing.assert_close(terms["adversarial"], -joint.network(torch.cat([z, z], 1)).mean())
    assert gan.reconstruction_loss(gan.reconstructor_step(BATCH, NOISE))["reconstruction"].item() == 0


def test_the_optimal_discriminator_gives_the_divergence() -> None:
    """With C the log ratio of real to generated density, the generator's term is KL(generated || real).

    z ~ N(0, 1), G(z) = z + 1, against x ~ N(0, 1) with F(x) = x - 1: the pairs lie on one line and differ by their x,
    N(1, 1) against N(0, 1), whose divergence is 1/2. C = ((x - 1)^2 - x^2) / 2 = 1/2 - x.
    """

    class Plus(nn.Module):
        def __init__(self, b: float) -> None:
            super().__init__()
            self.b = b

        def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
            return x + self.b

    joint = WithLatents(1)(MLPDiscriminator(2, None, 8))
    joint.features = lambda pairs, condition=None: pairs
    joint.head = lambda pairs, condition=None: 0.5 - pairs[:, 0]
    gan = VEEGAN(Plus(1.0), joint, Plus(-1.0), make_parts("reconstructor", latent_dim=1))
    step = gan.generator_step({"image": torch.zeros(100_000, 1)}, Noise(0, 100_000))
    value = gan.generator_loss(step)["adversarial"]
    assert value.item() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("norm", [False, True])
def test_each_player_updates_only_itself(norm: bool) -> None:
    assert_each_updates_only_itself(make_veegan(norm), ["discriminator", "generator", "reconstructor"])


def test_micro_batches() -> None:
    assert_micro_batches_make_no_difference(make_veegan)


def test_latents_of_real_samples_carry_no_gradient() -> None:
    """Only the reconstruction error trains the reconstructor, also with a loss that compares features."""
    gan = make_veegan()
    for step in (gan.discriminator_step(BATCH, NOISE), gan.generator_step(BATCH, NOISE)):
        slopes = torch.autograd.grad(step.real.logits.sum(), list(gan.reconstructor.parameters()), allow_unused=True)
        assert all(slope is None for slope in slopes)


def test_augmentation_changes_the_sample_that_is_scored() -> None:
    gan = make_veegan(condition=Labels(5, "data"), augment=Spy(5.0))
    batch = {**BATCH, "label": torch.arange(8) % 5}
    step = gan.generator_step(batch, NOISE)
    latents = NOISE.child("latents").normal(3)
    assert torch.equal(step.fake.latents, latents)
    assert torch.equal(step.fake.samples, gan.generator(latents))
    for outputs, z in ((step.fake, latents), (step.real, gan.reconstructor(BATCH["image"]))):
        assert torch.equal(outputs.condition, batch["label"])
        expected = gan.discriminator.network(torch.cat([outputs.samples + 5, z], 1))
        torch.testing.assert_close(outputs.logits, expected)


def test_penalties_differentiate_only_by_the_sample() -> None:
    """R1 of a pair: the gradient by x with constant F(x)."""
    gan = make_veegan(penalties={"r1": R1(2.0)})
    step = gan.discriminator_step(BATCH, NOISE)
    x, z = BATCH["image"].clone().requires_grad_(), gan.reconstructor(BATCH["image"]).detach()
    (slope,) = torch.autograd.grad(gan.discriminator.network(torch.cat([x, z], 1)).sum(), x)
    value = gan.penalties.of("discriminator")["r1"](step)
    torch.testing.assert_close(value, slope.square().sum(1).mean() / 2)


def test_several_batches_and_selection() -> None:
    gan = make_veegan(generator_batches=3, selection=TopK(0.5, 1.0))
    gan.images_seen = 100
    step = gan.generator_step(BATCH, NOISE)
    assert step.fake.logits.shape == (24,) == step.fake.latents.shape[:1]
    kept = step.fake.logits.topk(12).values
    torch.testing.assert_close(gan.generator_criterion(step), -kept.mean())


def test_wrong_options(tiny) -> None:
    with pytest.raises(
        ValueError, match=r"^algorithm\.reconstruction_weight=-1\.0 is not allowed: it must be at least 0$"
    ):
        make_veegan(reconstruction_weight=-1.0)
    with pytest.raises(ValueError, match="this algorithm scores pairs of samples and latents"):
        VEEGAN(Generator(), Discriminator(), Encoder(), make_parts("reconstructor"))
    with pytest.raises(ConfigError, match="this algorithm scores pairs of samples and latents"):
        build(tiny("model=veegan", "wrapper.discriminator.joint=null"))


@pytest.mark.parametrize(
    "more",
    [
        ("wrapper/discriminator=[packing]",),
        ("conditioning=auxiliary_classifier", "wrapper/discriminator=[spectral_norm]"),
        ("conditioning=projection", "augment=diffaugment"),
        ("conditioning=concat", "architecture.discriminator.norm=none", "regularizer=[gradient_penalty]"),
    ],
)
def test_with_other_parts(more: tuple[str, ...], tiny) -> None:
    cfg = tiny("model=veegan", "dataset.resolution=8", "budget.images=24", *more)
    before = {key: value.clone() for key, value in build(cfg).module.named_parameters()}
    gan = fit(cfg).module
    for key, value in gan.named_parameters():
        assert torch.isfinite(value).all() and not torch.equal(value, before[key]), key


def test_reconstructs_latents_of_points(tiny) -> None:
    """After some hundred batches the reconstructor predicts most of a two-dimensional latent."""
    settings = ("model=veegan", "dataset=ring", "architecture=mlp", "latent.dim=2", "latent.distribution=normal")
    cfg = tiny(*settings, "batch_size=64", "lr=2e-3", "budget.images=16000", "architecture.discriminator.width=64")
    gan = fit(cfg).module
    z = gan.sample_inputs(500, 1)[0]
    with torch.no_grad():
        assert (gan.reconstructor(gan.generator(z)) - z).square().mean() < 0.3
