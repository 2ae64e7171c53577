"""Denoising feature matching: the optimum of its denoiser, what gets a gradient, and who moves."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.denoiser import Denoiser
from gan_lab.config.build import build
from gan_lab.config.fit import fit
from gan_lab.gans.dfm import DFM
from gan_lab.noise import Noise, mix
from tests.gans.game import Discriminator, Generator, Points, state, train
from tests.gans.players import assert_each_moves_itself, assert_micro_batches_make_no_difference, make_parts

BATCH = {"image": Points(8).points}


def make_game(norm: bool = False, denoising_weight: float = 0.03, corruption: float = 1.0, **settings) -> DFM:
    torch.manual_seed(0)

    def denoiser(discriminator: nn.Module) -> Denoiser:
        return Denoiser(discriminator, 6, "batch" if norm else "none", depth=1)

    networks = Generator(norm), Discriminator(norm), denoiser
    return DFM(*networks, make_parts("denoiser", **settings), denoising_weight, corruption)


class Identity(nn.Module):
    """Features that are the samples, of one coordinate."""

    def __init__(self) -> None:
        super().__init__()
        self.output = nn.Linear(1, 1)

    def features(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return samples

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.output(features).squeeze(1)


def test_the_best_denoiser_moves_a_feature_up_the_density() -> None:
    """N(2, .5) under noise of variance 1: r(h) - h = -(1 / 1.5) (h - 2), at h = 3 the fact sheet's -.6667."""
    game = DFM(Generator(), Identity(), lambda d: Denoiser(d, depth=0), make_parts("denoiser"))
    real = torch.Generator().manual_seed(1)
    batch = {"image": 2 + 0.5**0.5 * torch.randn(200_000, 1, generator=real)}
    optimizer = torch.optim.LBFGS(game.denoiser.parameters(), max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        error = game.denoiser_terms(batch, Noise(0, 200_000))["denoising"]
        error.backward()
        return error

    optimizer.step(loss)
    h = torch.tensor([[2.0], [3.0], [-1.0]])
    expected = -(h - 2) / 1.5
    torch.testing.assert_close(game.denoiser(h) - h, expected, atol=0.02, rtol=0)
    assert (game.denoiser(h) - h)[1].item() == pytest.approx(-0.6667, abs=0.01)


@pytest.mark.parametrize("corruption", [1.0, 0.5])
def test_the_target_is_clean(corruption: float) -> None:
    """A denoiser that gives back its input errs by the noise alone; against the corrupted target it would not err."""
    game = make_game(corruption=corruption)
    game.denoiser.forward = lambda features: features
    error = game.denoiser_terms(BATCH, Noise(1, 8))["denoising"]
    assert error.item() == pytest.approx(corruption**2 * Noise(1, 8).normal(8).square().mean().item(), rel=1e-5)


def test_generators_target_is_a_constant() -> None:
    """The gradient is that of |Phi - t|^2 with a fixed t, and there is none in the denoiser or the discriminator."""
    game = make_game(denoising_weight=5.0)
    terms = game.generator_terms(BATCH, Noise(1, 8))
    networks = [list(n.parameters()) for n in (game.generator, game.discriminator, game.denoiser)]
    slopes = torch.autograd.grad(terms["denoising"], networks[0], retain_graph=True)
    features = game.discriminator.features(game.generator(Noise(1, 8).normal(3)))
    fixed = game.denoiser(features).detach()
    value = 5.0 * ((features - fixed) ** 2).sum(1).mean() / 8  # the mean over 8 features
    torch.testing.assert_close(terms["denoising"], value)
    for ours, theirs in zip(slopes, torch.autograd.grad(value, networks[0], retain_graph=True), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert all(g is None for g in torch.autograd.grad(terms["denoising"], networks[2], allow_unused=True))


def test_the_denoisers_loss_teaches_no_features() -> None:
    game = make_game()
    error = game.denoiser_terms(BATCH, Noise(1, 8))["denoising"]
    slopes = torch.autograd.grad(error, list(game.discriminator.parameters()), allow_unused=True)
    assert all(slope is None for slope in slopes)


def test_one_batch_by_hand() -> None:
    game = make_game()
    x, keys = Points(4).points, [mix(0, 1, phase) for phase in range(3)]
    g, d, r = (copy.deepcopy(network) for network in (game.generator, game.discriminator, game.denoiser))
    train(game, 1, size=4)

    def descend(network: nn.Module, value: Tensor) -> None:
        slopes = torch.autograd.grad(value, list(network.parameters()))
        with torch.no_grad():
            for parameter, slope in zip(network.parameters(), slopes, strict=True):
                parameter -= 0.1 * slope

    descend(d, F.softplus(-d(x)).mean() + F.softplus(d(g(Noise(keys[0], 4).normal(3)).detach())).mean())
    phi = d.features(x).detach()
    descend(r, (phi - r(phi + Noise(keys[1], 4).normal(8))).square().mean())
    phi = d.features(g(Noise(keys[2], 4).normal(3)))
    descend(g, F.softplus(-d.head(phi)).mean() + 0.03 * (phi - r(phi).detach()).square().mean())
    for ours, theirs in ((game.generator, g), (game.discriminator, d), (game.denoiser, r)):
        for key, value in state(ours).items():
            torch.testing.assert_close(value, theirs.state_dict()[key], atol=1e-6, rtol=0)


@pytest.mark.parametrize("norm", [False, True])
def test_each_player_moves_only_itself(norm: bool) -> None:
    """With batch norm nothing of discriminator and denoiser moves in the generator's step, running statistics included."""
    assert_each_moves_itself(make_game(norm), ["discriminator", "denoiser", "generator"])


def test_batch_norm_takes_the_statistics_of_the_samples_at_hand() -> None:
    """The generator's features are normalized by their own mean and variance, in discriminator and denoiser."""
    game = make_game(norm=True)
    with torch.no_grad():
        for network in (game.discriminator, game.denoiser):
            for layer in network.modules():
                if isinstance(layer, nn.BatchNorm1d):
                    layer.running_mean.fill_(100.0)
    term = game.generator_terms(BATCH, Noise(1, 8))["denoising"]
    latents = Noise(1, 8).normal(3)

    def normalized(layer: nn.BatchNorm1d, h: Tensor) -> Tensor:
        return (h - h.mean(0)) / (h.var(0, correction=0) + layer.eps).sqrt() * layer.weight + layer.bias

    def hidden(layers: nn.Sequential, h: Tensor) -> Tensor:
        return normalized(layers[1], layers[0](h)).relu()

    phi = hidden(game.discriminator.layers, game.generator.output(hidden(game.generator.layers, latents)))
    again = game.denoiser.output(hidden(game.denoiser.hidden[0], phi))
    torch.testing.assert_close(term, 0.03 * (phi - again).square().mean(), rtol=1e-4, atol=1e-6)


def test_micro_batches() -> None:
    assert_micro_batches_make_no_difference(make_game)


def test_denoising_alone_moves_the_generator() -> None:
    game = make_game(adversarial_weight=0.0)
    before = state(game.generator)
    train(game, 1)
    assert "generator/adversarial" not in game.records[-1]
    assert not torch.equal(before["output.weight"], game.generator.output.weight)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"denoising_weight": -1.0}, r"^game\.denoising_weight=-1\.0 is not allowed: it must be at least 0$"),
        ({"corruption": 0.0}, r"^game\.corruption=0\.0 is not allowed: it must be greater than 0$"),
    ],
)
def test_wrong_options(options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make_game(**options)


def test_every_kind_of_discriminator(tiny) -> None:
    """Packs, minibatch layers and labels change the number or the size of the features."""
    narrow = ("model=dfm", "architecture.denoiser.width=8", "budget.images=16")
    for more, size in (
        (("dataset.resolution=8", "wrapper=[packing]"), 128),
        (("dataset.resolution=8", "wrapper=[minibatch_stddev]"), 129),
        (("dataset.resolution=8", "conditioning=projection"), 128),
        (("dataset=ring", "architecture=mlp"), 8),
    ):
        game = fit(tiny(*narrow, *more)).module
        assert game.denoiser.output.out_features == size
        assert all(torch.isfinite(p).all() for p in game.parameters())


def test_settings(tiny) -> None:
    game = build(tiny("model=dfm")).module
    assert (game.penalties["denoising"].weight, game.corruption) == (0.03, 1.0)
    assert [layer[0].out_features for layer in game.denoiser.hidden] == [1024] * 5
    assert sum(isinstance(m, nn.BatchNorm1d) for m in game.denoiser.modules()) == 5
