"""Reg-GAN: closed forms of its terms, an independent copy of its moves, and who moves."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.config.build import build
from gan_lab.config.fit import fit
from gan_lab.errors import ConfigError
from gan_lab.gans.labels import LabelPrior
from gan_lab.gans.reg_gan import RegGAN
from gan_lab.losses.adversarial import LeastSquares, Relativistic
from gan_lab.noise import Noise, mix
from tests.gans.game import Discriminator, Generator, Points, state, train
from tests.gans.players import (
    Encoder,
    assert_each_moves_itself,
    assert_micro_batches_make_no_difference,
    make_parts,
)


class Shift(nn.Module):
    """x + b; a generator of points from points, whose inverse with b = 0 is itself."""

    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.zeros(2))

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return samples + self.b


class Slope(nn.Module):
    """The logit w x + c."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.c = nn.Parameter(torch.tensor([0.6, -0.8])), nn.Parameter(torch.tensor(0.3))

    def features(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return samples

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return features @ self.w + self.c


def make_game(norm: bool = False, reconstruction_weight: float = 0.2, mode_weight: float = 0.4, **settings) -> RegGAN:
    torch.manual_seed(0)
    networks = Generator(norm), Discriminator(norm), Encoder(norm)
    return RegGAN(*networks, make_parts("encoder", **settings), reconstruction_weight, mode_weight)


def inverse_pair(**options) -> RegGAN:
    return RegGAN(Shift(), Slope(), Shift(), make_parts("encoder", latent_dim=2), **options)


BATCH = {"image": Points(8).points}


def test_an_encoder_that_inverts_the_generator_leaves_only_the_mode_term() -> None:
    game = inverse_pair(reconstruction_weight=7.0, mode_weight=0.4)
    terms = game.regularized_terms(BATCH, Noise(1, 8))
    assert terms["reconstruction"].item() == 0
    logits = BATCH["image"] @ game.discriminator.w + game.discriminator.c
    torch.testing.assert_close(terms["mode"], 0.4 * torch.log1p(torch.exp(-logits)).mean())
    generated = Noise(1, 8).normal(2) @ game.discriminator.w + game.discriminator.c
    torch.testing.assert_close(terms["adversarial"], torch.log1p(torch.exp(-generated)).mean())


@pytest.mark.parametrize("player", ["encoder", "generator"])
def test_the_mode_term_raises_the_discriminator_on_reconstructions(player: str) -> None:
    """Minus lambda2 log D, and not the printed plus: a step goes up w, by mean(1 - D)."""
    game = inverse_pair(reconstruction_weight=0.0, mode_weight=0.4)
    moving = getattr(game, player)
    before = game.discriminator.head(game.reconstruct(BATCH))
    (slope,) = torch.autograd.grad(sum(game.reconstruction_terms(BATCH, Noise(1, 8)).values()), moving.b)
    torch.testing.assert_close(slope, -0.4 * torch.sigmoid(-before).mean() * game.discriminator.w)
    with torch.no_grad():
        moving.b -= 0.1 * slope
        assert (game.discriminator.head(game.reconstruct(BATCH)) > before).all()


def test_distances() -> None:
    """G(E(x)) = x + (.3, 0): the mean over two coordinates is .045 squared and .15 absolute."""
    for distance, value in (("squared", 0.045), ("absolute", 0.15)):
        game = inverse_pair(reconstruction_weight=2.0, mode_weight=0.0, distance=distance)
        with torch.no_grad():
            game.encoder.b += torch.tensor([0.3, 0.0])
        terms = game.reconstruction_terms(BATCH, Noise(1, 8))
        assert terms.keys() == {"reconstruction"}
        assert terms["reconstruction"].item() == pytest.approx(2 * value, rel=1e-5)


@pytest.mark.parametrize("loss", ["non_saturating", "least_squares"])
def test_one_batch_by_hand(loss: str) -> None:
    """Discriminator, encoder, generator, each by its formula and a plain gradient step."""
    game = make_game(**({"loss": LeastSquares()} if loss == "least_squares" else {}))
    x, keys = Points(4).points, [mix(0, 1, phase) for phase in range(3)]
    g, d, e = (copy.deepcopy(network) for network in (game.generator, game.discriminator, game.encoder))
    train(game, 1, size=4)

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

    descend(d, wants(d(x), True) + wants(d(g(Noise(keys[0], 4).normal(3)).detach()), False))
    descend(e, shared())
    descend(g, wants(d(g(Noise(keys[2], 4).normal(3))), True) + shared())
    for ours, theirs in ((game.discriminator, d), (game.encoder, e), (game.generator, g)):
        for key, value in state(ours).items():
            torch.testing.assert_close(value, theirs.state_dict()[key], atol=1e-6, rtol=0)


@pytest.mark.parametrize("norm", [False, True])
def test_each_player_moves_only_itself(norm: bool) -> None:
    assert_each_moves_itself(make_game(norm), ["discriminator", "encoder", "generator"])


def test_micro_batches() -> None:
    assert_micro_batches_make_no_difference(make_game)


def test_encoder_moves_with_the_generator() -> None:
    game = make_game(n_critic=2)
    assert [(phase.player, phase.interval) for phase in game.phases()] == [
        ("discriminator", 1),
        ("encoder", 2),
        ("generator", 2),
    ]


def test_a_relative_loss_compares_a_reconstruction_with_its_original() -> None:
    game = make_game(loss=Relativistic())
    terms = game.reconstruction_terms(BATCH, Noise(1, 8))
    real, again = game.discriminator(BATCH["image"]), game.discriminator(game.reconstruct(BATCH))
    torch.testing.assert_close(terms["mode"], 0.4 * F.softplus(real - again).mean())


def test_labels_and_augmentation() -> None:
    """A sample is reconstructed under its own label; only the discriminator sees it augmented."""
    game = make_game(labels=LabelPrior(5))
    labels = torch.arange(8) % 5
    seen: dict[str, list[Tensor | None]] = {"generator": [], "encoder": [], "labels": [], "judged": []}
    game.generator.register_forward_pre_hook(lambda _, args: seen["generator"].append(args[1]))
    game.encoder.register_forward_pre_hook(lambda _, args: seen["encoder"].append(args[0]))
    game.encoder.register_forward_pre_hook(lambda _, args: seen["labels"].append(args[1]))
    game.discriminator.layers.register_forward_pre_hook(lambda _, args: seen["judged"].append(args[0]))
    game.augment.forward = lambda images, noise: images + 5
    game.reconstruction_terms({**BATCH, "label": labels}, Noise(1, 8))
    assert torch.equal(seen["generator"][0], labels) and torch.equal(seen["labels"][0], labels)
    assert torch.equal(seen["encoder"][0], BATCH["image"])
    torch.testing.assert_close(seen["judged"][0], game.reconstruct(BATCH) + 5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"reconstruction_weight": -1.0}, r"^game\.reconstruction_weight=-1\.0 is not allowed: it must be at least 0$"),
        ({"mode_weight": -1.0}, r"^game\.mode_weight=-1\.0 is not allowed: it must be at least 0$"),
        ({"distance": "cosine"}, r"^game\.distance=cosine is not known; choose squared or absolute$"),
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
    """Architecture, its overrides, and the optimizer's kind and rate."""
    points = ("dataset=ring", "architecture=mlp", "architecture.discriminator.depth=3", "latent.dim=5")
    game = build(tiny(f"model={model}", *points, "optimizer=rmsprop", "optimizer.generator.lr=0.5")).module
    assert [tuple(p.shape) for p in game.encoder.parameters() if p.dim() == 2] == [(8, 2), (8, 8), (8, 8), (5, 8)]
    optimizers = dict(zip(game.runner.players, game.configure_optimizers(), strict=True))
    assert isinstance(optimizers["encoder"], torch.optim.RMSprop)
    assert optimizers["encoder"].param_groups[0]["lr"] == 0.5


def test_settings(tiny) -> None:
    game = build(tiny("model=reg_gan")).module
    assert (game.reconstruction_weight, game.mode_weight, game.latent.dim) == (0.2, 0.4, 128)


def test_reconstructs_points(tiny) -> None:
    """With latents of two dimensions the ring's points come back through the encoder."""
    settings = ("model=reg_gan", "dataset=ring", "architecture=mlp", "latent.dim=2", "batch_size=64", "lr=2e-3")
    cfg = tiny(*settings, "game.reconstruction_weight=1", "architecture.generator.width=64", "budget.images=8000")
    cfg.architecture.discriminator.width = 64
    data = build(cfg).data
    x = next(iter(data.train_dataloader()))["image"]
    game = fit(cfg).module
    with torch.no_grad():
        assert (game.reconstruct({"image": x}) - x).square().mean() < 0.2 * x.square().mean()
