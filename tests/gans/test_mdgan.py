"""MDGAN: an independent copy of its two steps, who judges what, and who moves."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.config.build import build
from gan_lab.gans.labels import LabelPrior
from gan_lab.gans.mdgan import MDGAN
from gan_lab.losses.adversarial import Relativistic
from gan_lab.noise import Noise, mix
from gan_lab.regularizers.penalties import R1, LeCam
from gan_lab.regularizers.weights import HistoricalAveraging
from tests.gans.game import Discriminator, Generator, Points, same, state, train
from tests.gans.players import (
    Encoder,
    assert_each_moves_itself,
    assert_micro_batches_make_no_difference,
    make_parts,
)

PLAYERS = ["manifold_discriminator", "encoder", "generator", "discriminator", "generator"]
BATCH = {"image": Points(8).points}


def make_game(norm: bool = False, **settings) -> MDGAN:
    torch.manual_seed(0)
    networks = Generator(norm), Discriminator(norm), Discriminator(norm), Encoder(norm)
    return MDGAN(*networks, make_parts("encoder", **settings))


def test_one_batch_by_hand() -> None:
    """Manifold step: D1, then E and G. Diffusion step: D2, then G. Each by its formula and a plain gradient step."""
    game = make_game()
    x, keys = Points(4).points, [mix(0, 1, phase) for phase in range(5)]
    d1, d2 = copy.deepcopy(game.manifold_discriminator), copy.deepcopy(game.discriminator)
    g, e = copy.deepcopy(game.generator), copy.deepcopy(game.encoder)
    train(game, 1, size=4)

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
    descend(d2, log_loss(d2(g(e(x)).detach()), 1.0) + log_loss(d2(g(Noise(keys[3], 4).normal(3)).detach()), 0.0))
    descend(g, log_loss(d2(g(Noise(keys[4], 4).normal(3))), 1.0))
    pairs = ((game.manifold_discriminator, d1), (game.discriminator, d2), (game.generator, g), (game.encoder, e))
    for ours, theirs in pairs:
        for key, value in state(ours).items():
            torch.testing.assert_close(value, theirs.state_dict()[key], atol=1e-6, rtol=0)


@pytest.mark.parametrize("norm", [False, True])
def test_each_player_moves_only_itself(norm: bool) -> None:
    assert_each_moves_itself(make_game(norm), PLAYERS)


def test_micro_batches() -> None:
    assert_micro_batches_make_no_difference(make_game)


def test_who_judges_what() -> None:
    """D1 real samples and reconstructions, D2 reconstructions and generated samples, all with their labels."""
    game = make_game(labels=LabelPrior(5, "data"))
    batch = {**BATCH, "label": torch.arange(8) % 5}
    again = game.reconstruct(batch)
    first, second, third = (
        make(batch, Noise(1, 8)) for make in (game.manifold_step, game.discriminator_step, game.generator_step)
    )
    assert torch.equal(first.real.samples, batch["image"]) and torch.equal(first.fake.samples, again)
    assert torch.equal(second.real.samples, again) and torch.equal(third.real.samples, again)
    assert torch.equal(second.fake.samples, game.generator(Noise(1, 8).normal(3)))
    assert torch.equal(first.fake.logits, game.manifold_discriminator(again))
    assert torch.equal(second.real.logits, game.discriminator(again))
    for judged in (first.real, first.fake, second.real, second.fake, third.real, third.fake):
        assert torch.equal(judged.labels, batch["label"])
        assert judged.samples.requires_grad == (judged is third.fake)


def test_mode_term_is_of_the_manifold_discriminator() -> None:
    game = make_game()
    terms = game.reconstruction_terms(BATCH, Noise(1, 8))
    logits = game.manifold_discriminator(game.reconstruct(BATCH))
    torch.testing.assert_close(terms["mode"], 0.01 * F.softplus(-logits).mean())


def test_a_relative_loss_compares_generated_samples_with_reconstructions() -> None:
    game = make_game(loss=Relativistic())
    terms = game.generator_terms(BATCH, Noise(1, 8))
    real, fake = game.discriminator(game.reconstruct(BATCH)), game.discriminator(game.generator(Noise(1, 8).normal(3)))
    torch.testing.assert_close(terms["adversarial"], F.softplus(real - fake).mean())


def test_both_discriminators_have_every_penalty_with_its_own_memory() -> None:
    penalties = {
        "r1": R1(2.0, interval=2),
        "lecam": LeCam(),
        "historical": HistoricalAveraging(player="discriminator"),
        "of_generator": HistoricalAveraging(),
    }
    game = make_game(penalties=penalties)
    phases = [(phase.name, phase.interval, phase.gain) for phase in game.phases()]
    assert phases[1] == ("manifold_discriminator", 2, 2) and phases[5] == ("discriminator", 2, 2)
    train(game, 2)
    for name in ("manifold_discriminator", "discriminator"):
        assert {f"{name}/{key}" for key in ("adversarial", "lecam", "historical", "r1")} <= set(game.records[-1])
    own, other = game.memories, game.manifold_memories
    assert set(own) == {"lecam", "historical", "of_generator"} and set(other) == {"lecam", "historical"}
    assert own["historical"].count == other["historical"].count == 2
    assert not torch.equal(own["historical"].mean, other["historical"].mean)
    assert not same(state(own["lecam"]), state(other["lecam"]))


def test_only_the_discriminator_of_real_samples_is_observed() -> None:
    """The log and the augmentation learn once a batch from D1 on real samples."""
    game, learned = make_game(), []
    game.augment.learn = lambda margins, images: learned.append(margins) or {}
    expected = game.manifold_discriminator(Points(4).points).detach()
    train(game, 1, size=4)
    assert len(game.records[-1]["logits/real"]) == len(learned) == 1
    torch.testing.assert_close(learned[0], expected)


def test_penalties_by_sample_look_at_both_discriminators() -> None:
    parts = make_parts("encoder", penalties={"r1": R1()})
    with pytest.raises(ValueError, match=r"^regularizer=r1 .* mixes the samples"):
        MDGAN(Generator(), Discriminator(), Discriminator(norm=True), Encoder(), parts)


def test_discriminators_are_equal_in_kind(tiny) -> None:
    """Wrappers, constraints and optimizer settings are those of the discriminator."""
    cfg = tiny("model=mdgan", "wrapper=[spectral_norm]", "regularizer=[weight_clip]", "dataset.resolution=8")
    game = build(cfg).module
    kinds = [str(network) for network in (game.discriminator, game.manifold_discriminator)]
    assert kinds[0] == kinds[1]
    players = game.runner.players
    assert players["manifold_discriminator"].constraints == players["discriminator"].constraints != []
    assert players["manifold_discriminator"].power_iterations
    a, b = game.discriminator.parameters(), game.manifold_discriminator.parameters()
    assert any(not torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert (game.reconstruction_weight, game.mode_weight) == (1.0, 0.01)
