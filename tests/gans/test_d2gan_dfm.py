"""D2GAN with denoising feature matching: a batch by hand, the player that each update changes, options."""

import copy

import pytest
import torch
from torch import Tensor, nn

from gan_lab.architectures.denoiser import Denoiser
from gan_lab.config.build import build
from gan_lab.gans.d2gan_dfm import D2GANDFM
from gan_lab.losses.dual import Dual
from gan_lab.noise import Noise
from gan_lab.regularizers.penalties import R1
from tests.helpers.player_updates import changes_per_update, make_parts
from tests.helpers.points_gan import Discriminator, Generator, Points, latents_of, noise_of, state, train


def make(norm: bool = False, denoising_weight: float = 0.03, corruption: float = 1.0, **settings) -> D2GANDFM:
    torch.manual_seed(0)
    networks = Generator(norm), Discriminator(norm), Discriminator(norm)
    parts = make_parts("denoiser", loss=Dual(0.5, 0.8), **settings)
    return D2GANDFM(*networks, lambda d: Denoiser(d, 6, "none", depth=1), parts, denoising_weight, corruption)


def test_one_batch_by_hand() -> None:
    """Both discriminators, the denoiser of the first one's features, and the generator's three terms."""
    gan, alpha, beta = make(), 0.5, 0.8
    x = Points(4).points
    first, second = copy.deepcopy(gan.discriminator), copy.deepcopy(gan.second_discriminator)
    g, r = copy.deepcopy(gan.generator), copy.deepcopy(gan.denoiser)
    train(gan, 1, size=4)

    def descend(value: Tensor, *networks: nn.Module) -> None:
        parameters = [parameter for network in networks for parameter in network.parameters()]
        slopes = torch.autograd.grad(value, parameters)
        with torch.no_grad():
            for parameter, slope in zip(parameters, slopes, strict=True):
                parameter -= 0.1 * slope

    def d(network: nn.Module, samples: Tensor) -> Tensor:
        return torch.log1p(network(samples).exp())

    fake = g(latents_of("discriminator")).detach()
    loss = (-alpha * d(first, x).log() + d(first, fake) + d(second, x) - beta * d(second, fake).log()).mean()
    descend(loss, first, second)
    phi = first.features(x).detach()
    descend((phi - r(phi + noise_of("denoiser").child("corruption").normal(8))).square().mean(), r)
    fake = g(latents_of("generator"))
    phi = first.features(fake)
    loss = (-d(first, fake) + beta * d(second, fake).log()).mean()
    descend(loss + 0.03 * (phi - r(phi).detach()).square().mean(), g)
    theirs = {"generator": g, "discriminator": first, "second_discriminator": second, "denoiser": r}
    for name, network in theirs.items():
        for key, value in state(getattr(gan, name)).items():
            torch.testing.assert_close(value, network.state_dict()[key], atol=1e-6, rtol=0)


def test_without_its_weight_the_generators_term_is_that_of_d2gan() -> None:
    gan = make(denoising_weight=0.0)
    found = gan.generator_loss(gan.generator_step({"image": Points(8).points}, Noise(1, 8)))
    assert found["denoising"].item() == 0 and set(found) == {"adversarial", "denoising"}


def test_each_player_updates_only_itself() -> None:
    """One update for both discriminators; with batch norm no statistics of other players change."""
    updates = changes_per_update(make(norm=True), 2)
    assert [player for player, _ in updates] == ["discriminator", "denoiser", "generator"] * 2
    for player, changed in updates:
        assert {name for name, keys in changed.items() if keys} == {player}


def test_every_penalty_is_for_both_discriminators() -> None:
    gan = make(penalties={"r1": R1()})
    assert list(gan.penalties.of("discriminator")) == ["r1", "second_r1"]


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match=r"^algorithm\.denoising_weight=-1\.0 is not allowed"):
        make(denoising_weight=-1.0)
    with pytest.raises(ValueError, match=r"^algorithm\.corruption=0\.0 is not allowed"):
        make(corruption=0.0)


def test_settings(tiny) -> None:
    gan = build(tiny("model=d2gan_dfm", "dataset.resolution=16")).module
    assert isinstance(gan, D2GANDFM) and (gan.denoising_weight, gan.corruption) == (0.03, 1.0)
    assert (gan.parts.loss.alpha, gan.parts.loss.beta) == (1.0, 1.0)
