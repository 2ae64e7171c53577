"""Denoising feature matching: the optimal denoiser, gradients, and the player that each update changes."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.denoiser import Denoiser
from gan_lab.config.build import build
from gan_lab.gans.dfm import DFM
from gan_lab.noise import Noise
from gan_lab.training.fit import fit
from tests.helpers.player_updates import (
    assert_each_updates_only_itself,
    assert_micro_batches_make_no_difference,
    make_parts,
)
from tests.helpers.points_gan import Discriminator, Generator, Points, latents_of, noise_of, state, train

BATCH = {"image": Points(8).points}
NOISE = Noise(1, 8)


def make_dfm(norm: bool = False, denoising_weight: float = 0.03, corruption: float = 1.0, **settings) -> DFM:
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

    def features(self, samples: Tensor, condition: Tensor | None = None) -> Tensor:
        return samples

    def head(self, features: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.output(features).squeeze(1)


def test_the_optimal_denoiser_follows_the_gradient_of_the_log_density() -> None:
    """N(2, .5) under noise of variance 1: r(h) - h = -(1 / 1.5) (h - 2), at h = 3 -.6667."""
    gan = DFM(Generator(), Identity(), lambda d: Denoiser(d, depth=0), make_parts("denoiser"))
    real = torch.Generator().manual_seed(1)
    batch = {"image": 2 + 0.5**0.5 * torch.randn(200_000, 1, generator=real)}
    optimizer = torch.optim.LBFGS(gan.denoiser.parameters(), max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        error = gan.denoiser_loss(gan.denoiser_step(batch, Noise(0, 200_000)))["denoising"]
        error.backward()
        return error

    optimizer.step(loss)
    h = torch.tensor([[2.0], [3.0], [-1.0]])
    expected = -(h - 2) / 1.5
    torch.testing.assert_close(gan.denoiser(h) - h, expected, atol=0.02, rtol=0)
    assert (gan.denoiser(h) - h)[1].item() == pytest.approx(-0.6667, abs=0.01)


@pytest.mark.parametrize("corruption", [1.0, 0.5])
def test_the_target_is_clean(corruption: float) -> None:
    """The error of the identity is the noise; with the corrupted features as the target it would be 0."""
    gan = make_dfm(corruption=corruption)
    gan.denoiser.forward = lambda features: features
    error = gan.denoiser_loss(gan.denoiser_step(BATCH, NOISE))["denoising"]
    assert error.item() == pytest.approx(
        corruption**2 * NOISE.child("corruption").normal(8).square().mean().item(), rel=1e-5
    )


def test_the_target_of_the_generator_is_constant() -> None:
    """The gradient is that of |Phi - t|^2 with a constant t; denoiser and discriminator get none."""
    gan = make_dfm(denoising_weight=5.0)
    terms = gan.generator_loss(gan.generator_step(BATCH, NOISE))
    networks = [list(n.parameters()) for n in (gan.generator, gan.discriminator, gan.denoiser)]
    slopes = torch.autograd.grad(terms["denoising"], networks[0], retain_graph=True)
    features = gan.discriminator.features(gan.generator(NOISE.child("latents").normal(3)))
    fixed = gan.denoiser(features).detach()
    value = 5.0 * ((features - fixed) ** 2).sum(1).mean() / 8  # the mean over 8 features
    torch.testing.assert_close(terms["denoising"], value)
    for ours, theirs in zip(slopes, torch.autograd.grad(value, networks[0], retain_graph=True), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert all(g is None for g in torch.autograd.grad(terms["denoising"], networks[2], allow_unused=True))


def test_the_denoisers_loss_has_no_gradient_in_the_features() -> None:
    gan = make_dfm()
    error = gan.denoiser_loss(gan.denoiser_step(BATCH, NOISE))["denoising"]
    slopes = torch.autograd.grad(error, list(gan.discriminator.parameters()), allow_unused=True)
    assert all(slope is None for slope in slopes)


def test_one_batch_by_hand() -> None:
    gan = make_dfm()
    x = Points(4).points
    g, d, r = (copy.deepcopy(network) for network in (gan.generator, gan.discriminator, gan.denoiser))
    train(gan, 1, size=4)

    def descend(network: nn.Module, value: Tensor) -> None:
        slopes = torch.autograd.grad(value, list(network.parameters()))
        with torch.no_grad():
            for parameter, slope in zip(network.parameters(), slopes, strict=True):
                parameter -= 0.1 * slope

    descend(d, F.softplus(-d(x)).mean() + F.softplus(d(g(latents_of("discriminator")).detach())).mean())
    phi = d.features(x).detach()
    descend(r, (phi - r(phi + noise_of("denoiser").child("corruption").normal(8))).square().mean())
    phi = d.features(g(latents_of("generator")))
    descend(g, F.softplus(-d.head(phi)).mean() + 0.03 * (phi - r(phi).detach()).square().mean())
    for ours, theirs in ((gan.generator, g), (gan.discriminator, d), (gan.denoiser, r)):
        for key, value in state(ours).items():
            torch.testing.assert_close(value, theirs.state_dict()[key], atol=1e-6, rtol=0)


@pytest.mark.parametrize("norm", [False, True])
def test_each_player_updates_only_itself(norm: bool) -> None:
    """With batch norm, the generator's step changes no statistics of discriminator and denoiser either."""
    assert_each_updates_only_itself(make_dfm(norm), ["discriminator", "denoiser", "generator"])


def test_batch_norm_uses_the_statistics_of_its_own_samples() -> None:
    """Generated features are normalized by their own mean and variance, in discriminator and denoiser."""
    gan = make_dfm(norm=True)
    with torch.no_grad():
        for network in (gan.discriminator, gan.denoiser):
            for layer in network.modules():
                if isinstance(layer, nn.BatchNorm1d):
                    layer.running_mean.fill_(100.0)
    term = gan.generator_loss(gan.generator_step(BATCH, NOISE))["denoising"]
    latents = NOISE.child("latents").normal(3)

    def normalized(layer: nn.BatchNorm1d, h: Tensor) -> Tensor:
        return (h - h.mean(0)) / (h.var(0, correction=0) + layer.eps).sqrt() * layer.weight + layer.bias

    def hidden(layers: nn.Sequential, h: Tensor) -> Tensor:
        return normalized(layers[1], layers[0](h)).relu()

    phi = hidden(gan.discriminator.layers, gan.generator.output(hidden(gan.generator.layers, latents)))
    again = gan.denoiser.output(hidden(gan.denoiser.hidden[0], phi))
    torch.testing.assert_close(term, 0.03 * (phi - again).square().mean(), rtol=1e-4, atol=1e-6)


def test_micro_batches() -> None:
    assert_micro_batches_make_no_difference(make_dfm)


def test_denoising_alone_trains_the_generator() -> None:
    gan = make_dfm(adversarial_weight=0.0)
    before = state(gan.generator)
    train(gan, 1)
    assert "generator/adversarial" not in gan.records[-1]
    assert not torch.equal(before["output.weight"], gan.generator.output.weight)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"denoising_weight": -1.0}, r"^algorithm\.denoising_weight=-1\.0 is not allowed: it must be at least 0$"),
        ({"corruption": 0.0}, r"^algorithm\.corruption=0\.0 is not allowed: it must be greater than 0$"),
    ],
)
def test_wrong_options(options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make_dfm(**options)


def test_every_kind_of_discriminator(tiny) -> None:
    """Packs, minibatch layers and labels change the number or the size of the features."""
    narrow = ("model=dfm", "architecture.denoiser.width=8", "budget.images=16")
    for more, size in (
        (("dataset.resolution=8", "wrapper/discriminator=[packing]"), 128),
        (("dataset.resolution=8", "wrapper/discriminator=[minibatch_stddev]"), 129),
        (("dataset.resolution=8", "conditioning=projection"), 128),
        (("dataset=ring", "architecture=mlp"), 8),
    ):
        gan = fit(tiny(*narrow, *more)).module
        assert gan.denoiser.output.out_features == size
        assert all(torch.isfinite(p).all() for p in gan.parameters())


def test_settings(tiny) -> None:
    gan = build(tiny("model=dfm")).module
    assert (gan.denoising_weight, gan.corruption) == (0.03, 1.0)
    assert [layer[0].out_features for layer in gan.denoiser.hidden] == [1024] * 5
    assert sum(isinstance(m, nn.BatchNorm1d) for m in gan.denoiser.modules()) == 5
