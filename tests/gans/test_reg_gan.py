"""Reg-GAN: closed forms of its terms, an independent computation of its updates, and the updated players."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.config.build import build
from gan_lab.errors import ConfigError
from gan_lab.gans.conditions import Labels
from gan_lab.gans.reg_gan import RegGAN
from gan_lab.losses.adversarial import LeastSquares, Relativistic
from gan_lab.noise import Noise
from gan_lab.training.fit import fit
from tests.gans.test_two_player import Spy
from tests.helpers.player_updates import (
    Encoder,
    assert_each_updates_only_itself,
    assert_micro_batches_make_no_difference,
    make_parts,
)
from tests.helpers.points_gan import Discriminator, Generator, Points, latents_of, state, train


class Shift(nn.Module):
    """x + b: a generator of points from points; with b = 0 it is its own inverse."""

    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.zeros(2))

    def forward(self, samples: Tensor, condition: Tensor | None = None) -> Tensor:
        return samples + self.b


class Slope(nn.Module):
    """The logit w x + c."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.c = nn.Parameter(torch.tensor([0.6, -0.8])), nn.Parameter(torch.tensor(0.3))

    def features(self, samples: Tensor, condition: Tensor | None = None) -> Tensor:
        return samples

    def head(self, features: Tensor, condition: Tensor | None = None) -> Tensor:
        return features @ self.w + self.c


def make_reg_gan(
    norm: bool = False, reconstruction_weight: float = 0.2, mode_weight: float = 0.4, **settings
) -> RegGAN:
    torch.manual_seed(0)
    networks = Generator(norm), Discriminator(norm), Encoder(norm)
    return RegGAN(*networks, make_parts("encoder", **settings), reconstruction_weight, mode_weight)


def inverse_pair(**options) -> RegGAN:
    return RegGAN(Shift(), Slope(), Shift(), make_parts("encoder", latent_dim=2), **options)


BATCH = {"image": Points(8).points}
NOISE = Noise(1, 8)


def test_an_encoder_that_inverts_the_generator_leaves_only_the_mode_term() -> None:
    gan = inverse_pair(reconstruction_weight=7.0, mode_weight=0.4)
    terms = gan.regularized_loss(gan.regularized_step(BATCH, NOISE))
    assert terms["reconstruction"].item() == 0
    logits = BATCH["image"] @ gan.discriminator.w + gan.discriminator.c
    torch.testing.assert_close(terms["mode"], 0.4 * torch.log1p(torch.exp(-logits)).mean())
    generated = NOISE.child("latents").normal(2) @ gan.discriminator.w + gan.discriminator.c
    torch.testing.assert_close(terms["adversarial"], torch.log1p(torch.exp(-generated)).mean())


@pytest.mark.parametrize("player", ["encoder", "generator"])
def test_the_mode_term_raises_the_discriminator_on_reconstructions(player: str) -> None:
    """Minus lambda2 log D, not the printed plus: a step increases w by mean(1 - D)."""
    gan = inverse_pair(reconstruction_weight=0.0, mode_weight=0.4)
    updated = getattr(gan, player)
    before = gan.discriminator.head(gan.reconstructed(BATCH).values)
    (slope,) = torch.autograd.grad(
        sum(gan.reconstruction_loss(gan.reconstruction_step(BATCH, NOISE)).values()), updated.b
    )
    torch.testing.assert_close(slope, -0.4 * torch.sigmoid(-before).mean() * gan.discriminator.w)
    with torch.no_grad():
        updated.b -= 0.1 * slope
        assert (gan.discriminator.head(gan.reconstructed(BATCH).values) > before).all()


def test_distances() -> None:
    """G(E(x)) = x + (.3, 0): the mean over two coordinates is .045 squared and .15 absolute."""
    for distance, value in (("squared", 0.045), ("absolute", 0.15)):
        gan = inverse_pair(reconstruction_weight=2.0, mode_weight=0.0, distance=distance)
        with torch.no_grad():
            gan.encoder.b += torch.tensor([0.3, 0.0])
        terms = gan.reconstruction_loss(gan.reconstruction_step(BATCH, NOISE))
        assert terms.keys() == {"reconstruction"}
        assert terms["reconstruction"].item() == pytest.approx(2 * value, rel=1e-5)


@pytest.mark.parametrize("loss", ["non_saturating", "least_squares"])
def test_one_batch_by_hand(loss: str) -> None:
    """Discriminator, encoder, generator, each by its formula and a plain gradient step."""
    gan = make_reg_gan(**({"loss": LeastSquares()} if loss == "least_squares" else {}))
    x = Points(4).points
    g, d, e = (copy.deepcopy(network) for network in (gan.generator, gan.discriminator, gan.encoder))
    train(gan, 1, size=4)

    def wants(logits: Tensor, real: bool) -> Tensor:
        if loss == "least_squares":
            return (logits - float(real)).square().mean() / 2
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))

    def shared() -> Tensor:
        again = g(e(x))
        return 0.2 * (again - x).square().mean() + 0.4 * wants(d(again), True)

    def descend(network: nn.Module, value: Tensor) -> None:
        slopes = torch.autograd.grad(value, list(network.parameters()))
        with torch.no_grad():
            for parameter, slope in zip(network.parameters(), slopes, strict=True):
                parameter -= 0.1 * slope

    descend(d, wants(d(x), True) + wants(d(g(latents_of("discriminator")).detach()), False))
    descend(e, shared())
    descend(g, wants(d(g(latents_of("generator"))), True) + shared())
    for ours, theirs in ((gan.discriminator, d), (gan.encoder, e), (gan.generator, g)):
        for key, value in state(ours).items():
            torch.testing.assert_close(value, theirs.state_dict()[key], atol=1e-6, rtol=0)


@pytest.mark.parametrize("norm", [False, True])
def test_each_player_updates_only_itself(norm: bool) -> None:
    assert_each_updates_only_itself(make_reg_gan(norm), ["discriminator", "encoder", "generator"])


def test_micro_batches() -> None:
    assert_micro_batches_make_no_difference(make_reg_gan)


def test_encoder_is_updated_with_the_generator() -> None:
    gan = make_reg_gan(n_critic=2)
    assert [(phase.player, phase.interval) for phase in gan.phases()] == [
        ("discriminator", 1),
        ("encoder", 2),
        ("generator", 2),
    ]


def test_a_relative_loss_compares_a_reconstruction_with_its_original() -> None:
    gan = make_reg_gan(loss=Relativistic())
    terms = gan.reconstruction_loss(gan.reconstruction_step(BATCH, NOISE))
    real, again = gan.discriminator(BATCH["image"]), gan.discriminator(gan.reconstructed(BATCH).values)
    torch.testing.assert_close(terms["mode"], 0.4 * F.softplus(real - again).mean())


def test_labels_and_augmentation() -> None:
    """A sample is reconstructed with its own label; only the discriminator sees it augmented."""
    spy = Spy(5.0)
    gan = make_reg_gan(condition=Labels(5), augment=spy)
    labels = torch.arange(8) % 5
    seen: dict[str, list[Tensor | None]] = {"generator": [], "encoder": [], "labels": [], "scored": []}
    gan.generator.register_forward_pre_hook(lambda _, args: seen["generator"].append(args[1]))
    gan.encoder.register_forward_pre_hook(lambda _, args: seen["encoder"].append(args[0]))
    gan.encoder.register_forward_pre_hook(lambda _, args: seen["labels"].append(args[1]))
    gan.discriminator.layers.register_forward_pre_hook(lambda _, args: seen["scored"].append(args[0]))
    gan.reconstruction_loss(gan.reconstruction_step({**BATCH, "label": labels}, NOISE))
    assert torch.equal(seen["generator"][0], labels) and torch.equal(seen["labels"][0], labels)
    assert torch.equal(seen["encoder"][0], BATCH["image"])
    torch.testing.assert_close(seen["scored"][0], gan.reconstructed(BATCH).values + 5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"reconstruction_weight": -1.0},
            r"^algorithm\.reconstruction_weight=-1\.0 is not allowed: it must be at least 0$",
        ),
        ({"mode_weight": -1.0}, r"^algorithm\.mode_weight=-1\.0 is not allowed: it must be at least 0$"),
        ({"distance": "cosine"}, r"^algorithm\.distance=cosine is not known; choose squared or absolute$"),
    ],
)
def test_wrong_options(options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        inverse_pair(**options)


def test_no_optimizer(tiny) -> None:
    with pytest.raises(ConfigError, match=r"^optimizer\.encoder=null leaves the encoder"):
        build(tiny("model=reg_gan", "optimizer.encoder=null"))


@pytest.mark.parametrize("model", ["reg_gan", "mdgan"])
def test_encoder_follows_the_discriminator(model: str, tiny) -> None:
    """Architecture, its overrides, and the optimizer with its learning rate."""
    points = ("dataset=ring", "architecture=mlp", "architecture.discriminator.depth=3", "latent.dim=5")
    gan = build(tiny(f"model={model}", *points, "optimizer=rmsprop", "optimizer.generator.lr=0.5")).module
    assert [tuple(p.shape) for p in gan.encoder.parameters() if p.dim() == 2] == [(8, 2), (8, 8), (8, 8), (5, 8)]
    optimizers = dict(zip(gan.runner.players, gan.configure_optimizers(), strict=True))
    assert isinstance(optimizers["encoder"], torch.optim.RMSprop)
    assert optimizers["encoder"].param_groups[0]["lr"] == 0.5


def test_settings(tiny) -> None:
    gan = build(tiny("model=reg_gan")).module
    assert (gan.reconstruction_weight, gan.mode_weight, gan.latent.dim) == (0.2, 0.4, 128)


def test_reconstructs_points(tiny) -> None:
    """With latents of two dimensions the points of the ring are reconstructed."""
    settings = ("model=reg_gan", "dataset=ring", "architecture=mlp", "latent.dim=2", "batch_size=64", "lr=2e-3")
    cfg = tiny(*settings, "algorithm.reconstruction_weight=1", "architecture.generator.width=64", "budget.images=16000")
    cfg.architecture.discriminator.width = 64
    data = build(cfg).data
    x = next(iter(data.train_dataloader()))["image"]
    gan = fit(cfg).module
    with torch.no_grad():
        assert (gan.reconstructed({"image": x}).values - x).square().mean() < 0.05 * x.square().mean()
