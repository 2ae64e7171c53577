"""MDGAN: an independent computation of its two steps, the inputs of its discriminators, and the updated players."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.config.build import build
from gan_lab.gans.conditions import Labels
from gan_lab.gans.mdgan import MDGAN
from gan_lab.losses.adversarial import Relativistic
from gan_lab.noise import Noise
from gan_lab.regularizers.penalties import R1, LeCam
from gan_lab.regularizers.weights import HistoricalAveraging
from tests.gans.test_two_player import Probe, Spy
from tests.helpers.player_updates import (
    Encoder,
    assert_each_updates_only_itself,
    assert_micro_batches_make_no_difference,
    make_parts,
)
from tests.helpers.points_gan import Discriminator, Generator, Points, equal_states, latents_of, state, train

PLAYERS = ["manifold_discriminator", "encoder", "generator", "discriminator", "generator"]
BATCH = {"image": Points(8).points}
NOISE = Noise(1, 8)


def make_mdgan(norm: bool = False, **settings) -> MDGAN:
    torch.manual_seed(0)
    networks = Generator(norm), Discriminator(norm), Discriminator(norm), Encoder(norm)
    return MDGAN(*networks, make_parts("encoder", **settings))


def test_one_batch_by_hand() -> None:
    """Manifold step: D1, then E and G. Diffusion step: D2, then G. Each by its formula and a plain gradient step."""
    gan = make_mdgan()
    x = Points(4).points
    d1, d2 = copy.deepcopy(gan.manifold_discriminator), copy.deepcopy(gan.discriminator)
    g, e = copy.deepcopy(gan.generator), copy.deepcopy(gan.encoder)
    train(gan, 1, size=4)

    def log_loss(logits: Tensor, real: float) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, real))

    def manifold() -> Tensor:
        return (g(e(x)) - x).square().mean() + 0.01 * log_loss(d1(g(e(x))), 1.0)

    def descend(network: nn.Module, value: Tensor) -> None:
        slopes = torch.autograd.grad(value, list(network.parameters()))
        with torch.no_grad():
            for parameter, slope in zip(network.parameters(), slopes, strict=True):
                parameter -= 0.1 * slope

    descend(d1, log_loss(d1(x), 1.0) + log_loss(d1(g(e(x)).detach()), 0.0))
    descend(e, manifold())
    descend(g, manifold())
    descend(d2, log_loss(d2(g(e(x)).detach()), 1.0) + log_loss(d2(g(latents_of("discriminator")).detach()), 0.0))
    descend(g, log_loss(d2(g(latents_of("generator/1"))), 1.0))
    pairs = ((gan.manifold_discriminator, d1), (gan.discriminator, d2), (gan.generator, g), (gan.encoder, e))
    for ours, theirs in pairs:
        for key, value in state(ours).items():
            torch.testing.assert_close(value, theirs.state_dict()[key], atol=1e-6, rtol=0)


@pytest.mark.parametrize("norm", [False, True])
def test_each_player_updates_only_itself(norm: bool) -> None:
    assert_each_updates_only_itself(make_mdgan(norm), PLAYERS)


def test_micro_batches() -> None:
    assert_micro_batches_make_no_difference(make_mdgan)


def test_inputs_of_the_discriminators() -> None:
    """D1: real samples and reconstructions. D2: reconstructions and generated samples. All with their labels."""
    gan = make_mdgan(condition=Labels(5, "data"))
    batch = {**BATCH, "label": torch.arange(8) % 5}
    again = gan.reconstructed(batch).values
    first, second, third = (
        make(batch, NOISE) for make in (gan.manifold_step, gan.discriminator_step, gan.generator_step)
    )
    assert torch.equal(first.real.samples, batch["image"]) and torch.equal(first.fake.samples, again)
    assert torch.equal(second.real.samples, again) and torch.equal(third.real.samples, again)
    assert torch.equal(second.fake.samples, gan.generator(NOISE.child("latents").normal(3)))
    assert torch.equal(first.fake.logits, gan.manifold_discriminator(again))
    assert torch.equal(second.real.logits, gan.discriminator(again))
    for outputs in (first.real, first.fake, second.real, second.fake, third.real, third.fake):
        assert torch.equal(outputs.condition, batch["label"])
        assert outputs.samples.requires_grad == (outputs is third.fake)


def test_mode_term_is_of_the_manifold_discriminator() -> None:
    gan = make_mdgan()
    terms = gan.reconstruction_loss(gan.reconstruction_step(BATCH, NOISE))
    logits = gan.manifold_discriminator(gan.reconstructed(BATCH).values)
    torch.testing.assert_close(terms["mode"], 0.01 * F.softplus(-logits).mean())


def test_a_relative_loss_compares_generated_samples_with_reconstructions() -> None:
    gan = make_mdgan(loss=Relativistic())
    terms = gan.generator_loss(gan.generator_step(BATCH, NOISE))
    real, fake = (
        gan.discriminator(gan.reconstructed(BATCH).values),
        gan.discriminator(gan.generator(NOISE.child("latents").normal(3))),
    )
    torch.testing.assert_close(terms["adversarial"], F.softplus(real - fake).mean())


def test_both_discriminators_have_every_penalty_with_its_own_state() -> None:
    penalties = {
        "r1": R1(2.0, interval=2),
        "lecam": LeCam(),
        "historical": HistoricalAveraging(player="discriminator"),
        "of_generator": HistoricalAveraging(),
    }
    gan = make_mdgan(penalties=penalties)
    lazy = [(update.name, update.interval, update.gain) for update in gan.runner.updates if update.lazy]
    assert lazy == [("manifold_discriminator/r1", 2, 2), ("discriminator/r1", 2, 2)]
    train(gan, 2)
    for name in ("manifold_discriminator", "discriminator"):
        assert {f"{name}/{key}" for key in ("adversarial", "lecam", "historical", "r1")} <= set(gan.records[-1])
    own, other = (gan.penalties.of(name) for name in ("discriminator", "manifold_discriminator"))
    assert set(own) == set(other) == {"r1", "lecam", "historical"}
    assert set(gan.penalties.of("generator")) == {"of_generator"}
    assert own["historical"].count == other["historical"].count == 2
    assert not torch.equal(own["historical"].mean, other["historical"].mean)
    assert not equal_states(state(own["lecam"]), state(other["lecam"]))


def test_penalties_of_the_generator_belong_to_the_diffusion_step() -> None:
    """Once per batch, in the step in which the generator sees new samples."""
    probe = Probe("generator")
    gan = make_mdgan(penalties={"probe": probe})
    train(gan, 2)
    assert len(probe.steps) == 2
    assert all(step.fake.latents is not None and step.fake.samples.requires_grad for step in probe.steps)
    torch.testing.assert_close(probe.steps[0].fake.latents, latents_of("generator/1"))


def test_a_penalty_of_the_manifold_discriminator_alone(tiny) -> None:
    """In Python and from a config: D1 has R1, D2 does not."""
    overrides = ("model=mdgan", "regularizer=[r1]", "++regularizer.r1.player=manifold_discriminator")
    built = build(tiny(*overrides, "architecture.discriminator.norm=none", "dataset.resolution=8")).module
    for gan in (make_mdgan(penalties={"r1": R1(2.0, player="manifold_discriminator")}), built):
        assert list(gan.penalties.of("manifold_discriminator")) == ["r1"] and not gan.penalties.of("discriminator")
    gan = make_mdgan(penalties={"r1": R1(2.0, player="manifold_discriminator")})
    train(gan, 1)
    assert "manifold_discriminator/r1" in gan.records[-1] and "discriminator/r1" not in gan.records[-1]


def test_only_the_discriminator_of_real_samples_is_observed() -> None:
    """Log and augmentation get the logits of real samples from D1, once per batch."""
    spy = Spy(0.0)
    gan = make_mdgan(augment=spy)
    expected = gan.manifold_discriminator(Points(4).points).detach()
    train(gan, 1, size=4)
    assert len(gan.records[-1]["logits/real"]) == 1 and spy.adapted == [(4, 4)]
    torch.testing.assert_close(gan.records[-1]["augment/p"][0], expected.mean())


def test_penalties_by_sample_are_checked_against_both_discriminators() -> None:
    parts = make_parts("encoder", penalties={"r1": R1()})
    with pytest.raises(ValueError, match=r"^regularizer=r1 .* mixes the samples"):
        MDGAN(Generator(), Discriminator(), Discriminator(norm=True), Encoder(), parts)


def test_both_discriminators_have_the_same_settings(tiny) -> None:
    """Wrappers, constraints and optimizer settings are those of the discriminator."""
    cfg = tiny(
        "model=mdgan", "wrapper/discriminator=[spectral_norm]", "regularizer=[weight_clip]", "dataset.resolution=8"
    )
    gan = build(cfg).module
    kinds = [str(network) for network in (gan.discriminator, gan.manifold_discriminator)]
    assert kinds[0] == kinds[1]
    players = gan.runner.players
    assert players["manifold_discriminator"].constraints == players["discriminator"].constraints != []
    assert players["manifold_discriminator"].power_iterations
    a, b = gan.discriminator.parameters(), gan.manifold_discriminator.parameters()
    assert any(not torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert (gan.reconstruction_weight, gan.mode_weight) == (1.0, 0.01)
