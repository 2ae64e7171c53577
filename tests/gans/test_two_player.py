"""What the two-player game does with labels, augmentation, spectral norm, relative losses and generator penalties."""

import pytest
import torch
from torch import Tensor, nn

from gan_lab.architectures.spectral import SpectralNormalization
from gan_lab.gans.labels import LabelPrior
from gan_lab.layers.spectral_norm import SpectralNorm
from gan_lab.losses.adversarial import Hinge, NonSaturating, Relativistic, Wasserstein
from gan_lab.noise import Noise
from gan_lab.regularizers.features import FeatureMatching
from gan_lab.types import Step
from tests.gans.game import make_game, moved, same, state, train


class Spy(nn.Module):
    """An augmentation that adds a constant and notes what passes through it."""

    needs_boundary = False

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift
        self.seen: list[int] = []
        self.learned: list[tuple[int, int]] = []

    def forward(self, images: Tensor, noise: Noise) -> Tensor:
        self.seen.append(len(images))
        return images + self.shift

    def learn(self, margins: Tensor, images: int) -> dict[str, Tensor]:
        self.learned.append((len(margins), images))
        return {"p": margins.mean()}


class Probe:
    """A penalty that notes the step it is given and costs nothing."""

    weight, interval, per_sample = 1.0, 1, False

    def __init__(self, player: str) -> None:
        self.player = player
        self.steps: list[Step] = []

    def __call__(self, step: Step) -> Tensor:
        self.steps.append(step)
        return torch.zeros(())


def vectors(network: nn.Module) -> dict[str, Tensor]:
    return {k: v for k, v in state(network).items() if k.endswith((".u", ".v"))}


def test_one_power_iteration_for_each_move_of_its_own_player_and_none_otherwise() -> None:
    """Two forward passes and a penalty's look at the weight in the discriminator's move, one in the generator's."""
    game = make_game(loss=Hinge(), n_critic=2)
    game.discriminator = SpectralNormalization()(game.discriminator)
    updates: list[tuple[str, int]] = []
    original = SpectralNorm.update

    def counted(self, weight):
        updates.append(("discriminator", game.batches_seen))
        original(self, weight)

    SpectralNorm.update = counted  # type: ignore[method-assign]
    try:
        train(game, 4)
    finally:
        SpectralNorm.update = original  # type: ignore[method-assign]
    assert [batch for _, batch in updates] == [1, 1, 2, 2, 3, 3, 4, 4]  # two layers

    before = vectors(game.discriminator)
    game.discriminator.eval()
    game.discriminator(torch.randn(3, 2))
    game.discriminator.train()
    game.discriminator(torch.randn(3, 2))
    assert before and same(before, vectors(game.discriminator))


def test_singular_vectors_stay_in_the_generators_phase() -> None:
    game = make_game(loss=Hinge())
    game.discriminator = SpectralNormalization()(game.discriminator)
    play, changes = game.runner._move, {}

    def watched(phase, *rest, **named):
        before = vectors(game.discriminator)
        play(phase, *rest, **named)
        changes.setdefault(phase.player, []).append(moved(before, vectors(game.discriminator)))

    game.runner._move = watched
    train(game, 3)
    assert all(not keys for keys in changes["generator"]) and any(changes["discriminator"])


def test_both_players_see_real_and_generated_samples_through_the_augmentation() -> None:
    spy = Spy(0.5)
    game = make_game(loss=NonSaturating(), augment=spy, generator_batches=2)
    train(game, 1)
    assert spy.seen == [4, 4, 8]
    assert spy.learned == [(4, 4)]
    assert "augment/p" in game.records[-1]


def test_augmentation_is_in_the_gradient_of_both_players() -> None:
    """Adding a constant to every image is the same game for a critic whose first bias is lowered by what it makes of it."""
    shifted, plain = make_game(augment=Spy(0.5)), make_game()
    first = plain.discriminator.layers[0]
    with torch.no_grad():
        first.bias += 0.5 * first.weight.sum(1)
    a, b = (g.discriminator(torch.ones(3, 2) + shift) for g, shift in ((shifted, 0.5), (plain, 0.0)))
    assert torch.allclose(a, b, atol=1e-6)
    train(shifted, 1)
    train(plain, 1)
    for key in ("output.weight", "output.bias"):
        assert torch.allclose(state(shifted.discriminator)[key], state(plain.discriminator)[key], atol=1e-6)
        assert torch.allclose(state(shifted.generator)[key], state(plain.generator)[key], atol=1e-3)


def test_a_loss_without_boundary_teaches_no_augmentation() -> None:
    spy = Spy(0.0)
    train(make_game(loss=Wasserstein(), augment=spy), 1)
    assert spy.learned == []
    spy.needs_boundary = True
    with pytest.raises(ValueError, match=r"augment=ada .* Wasserstein"):
        make_game(loss=Wasserstein(), augment=spy)


@pytest.mark.parametrize("generator_batches", [1, 2])
def test_relative_loss_compares_with_the_real_logits_of_the_batch(generator_batches: int) -> None:
    given = []

    class Watched(Relativistic):
        def generator(self, fake_logits, real_logits=None):
            given.append((len(fake_logits), len(real_logits), real_logits.requires_grad))
            return super().generator(fake_logits, real_logits)

    train(make_game(loss=Watched(), generator_batches=generator_batches), 1)
    assert given == [(4 * generator_batches, 4 * generator_batches, False)]


def test_a_loss_that_compares_nothing_gets_no_real_logits() -> None:
    given = []

    class Watched(NonSaturating):
        def generator(self, fake_logits, real_logits=None):
            given.append(real_logits)
            return super().generator(fake_logits)

    train(make_game(loss=Watched()), 2)
    assert given == [None, None]


def test_selection_keeps_pairs_together() -> None:
    """The two largest logits, each with the real one of its own row."""
    kept, given = [], []

    class Watched(Relativistic):
        def generator(self, fake_logits, real_logits=None):
            given.append((fake_logits.detach(), real_logits.detach()))
            return super().generator(fake_logits, real_logits)

    def top_two(images_seen: int, fake_logits: Tensor) -> Tensor:
        kept.append((images_seen, fake_logits.detach()))
        return fake_logits.topk(2).indices

    game = make_game(loss=Watched(), selection=top_two)
    probe = Probe("generator")
    game.penalties["probe"] = probe
    train(game, 2)
    assert [seen for seen, _ in kept] == [0, 4]
    for (fake, real), (_, all_fake), step in zip(given, kept, probe.steps, strict=True):
        index = all_fake.topk(2).indices
        assert torch.equal(fake, all_fake[index])
        assert torch.equal(real, step.real.logits[index])


def test_penalties_of_either_player_are_evaluated_in_its_phase() -> None:
    probes = {"d": Probe("discriminator"), "g": Probe("generator")}
    game = make_game(penalties=probes)
    train(game, 3)
    assert len(probes["d"].steps) == len(probes["g"].steps) == 3
    assert all(step.network is game.discriminator for step in probes["d"].steps)
    assert all(step.network is game.generator for step in probes["g"].steps)
    assert not probes["d"].steps[0].fake.samples.requires_grad
    assert probes["g"].steps[0].fake.samples.requires_grad


def test_lazy_penalties_of_the_generator_are_refused() -> None:
    with pytest.raises(ValueError, match=r"regularizer\.feature_matching\.interval=4"):
        make_game(penalties={"feature_matching": FeatureMatching(interval=4)})


def test_feature_matching_alone_moves_the_generator() -> None:
    game = make_game(penalties={"feature_matching": FeatureMatching()}, adversarial_weight=0.0)
    before = state(game.generator)
    train(game, 2)
    assert "generator/adversarial" not in game.records[-1] and "generator/feature_matching" in game.records[-1]
    assert moved(before, state(game.generator)) == set(before)
    with pytest.raises(ValueError, match=r"adversarial_weight=0 .*feature_matching"):
        make_game(adversarial_weight=0.0)


def test_labels_of_generated_samples() -> None:
    """Uniform: all classes about as often, and another draw in every batch. Data: the real ones, row by row."""
    real = torch.tensor([0, 0, 1, 2])
    assert LabelPrior(None).sample(Noise(1, 4), real) is None and LabelPrior(None).of(real) is None
    assert torch.equal(LabelPrior(3, "data").sample(Noise(1, 4), real), real)
    drawn = LabelPrior(3).sample(Noise(1, 30_000), real)
    assert drawn is not None and drawn.dtype == torch.int64
    assert torch.allclose(drawn.bincount().float(), torch.full((3,), 10_000.0), atol=400)
    whole, part = LabelPrior(7).sample(Noise(5, 8)), LabelPrior(7).sample(Noise(5, 8, slice(1, 8, 2)))
    assert whole is not None and part is not None and torch.equal(whole[1::2], part)
    with pytest.raises(ValueError, match=r"conditioning\.prior=other"):
        LabelPrior(3, "other")


def test_a_step_pairs_samples_with_their_labels() -> None:
    """Real samples carry the batch's labels; each generated one the label that its generator was given."""
    game = make_game(labels=LabelPrior(5), generator_batches=2)
    given: list[Tensor] = []

    class Conditional(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
            given.append(labels)
            return self.network(latents)

    game.generator = Conditional(game.generator)
    batch = {"image": torch.randn(4, 2), "label": torch.tensor([4, 3, 2, 1])}
    step = game.discriminator_step(batch, Noise(0, 4))
    assert torch.equal(step.real.labels, batch["label"])
    assert torch.equal(step.fake.labels, given[0]) and len(given) == 1
    step = game.generator_step(batch, Noise(0, 4))
    assert len(step.fake.samples) == 8
    assert torch.equal(step.fake.labels, torch.cat(given[1:]))
