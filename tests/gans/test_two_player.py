"""The two-player GAN with labels, augmentation, spectral norm, relative losses and generator penalties."""

import pytest
import torch
from torch import Tensor, nn

from gan_lab.architectures.spectral import SpectralNormalization
from gan_lab.gans.conditions import Labels
from gan_lab.layers.spectral_norm import SpectralNorm
from gan_lab.losses.adversarial import Hinge, NonSaturating, Relativistic, Wasserstein
from gan_lab.noise import Noise
from gan_lab.regularizers.features import FeatureMatching
from gan_lab.step import Step
from tests.helpers.points_gan import StepCounter, UpdateWatch, adam, changed_keys, equal_states, make_gan, state, train


class Spy(nn.Module):
    """An augmentation that adds a constant and records its inputs."""

    needs_boundary = False

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift
        self.seen: list[int] = []
        self.adapted: list[tuple[int, int]] = []

    def forward(self, images: Tensor, noise: Noise) -> Tensor:
        self.seen.append(len(images))
        return images + self.shift

    def adapt(self, margins: Tensor | None, images: int) -> dict[str, Tensor]:
        if margins is None:
            return {}
        self.adapted.append((len(margins), images))
        return {"p": margins.mean()}


class Probe:
    """A penalty that records its step and returns 0."""

    weight, interval, per_sample = 1.0, 1, False

    def __init__(self, player: str) -> None:
        self.player = player
        self.steps: list[Step] = []

    def __call__(self, step: Step) -> Tensor:
        self.steps.append(step)
        return torch.zeros(())


def vectors(network: nn.Module) -> dict[str, Tensor]:
    return {k: v for k, v in state(network).items() if k.endswith((".u", ".v"))}


def test_one_power_iteration_for_each_update_of_its_own_player_and_none_otherwise() -> None:
    """Two forward passes and a penalty that reads the weight in the discriminator's update, one in the generator's."""
    gan = make_gan(loss=Hinge(), n_critic=2)
    gan.discriminator = SpectralNormalization()(gan.discriminator)
    updates: list[tuple[str, int]] = []
    original = SpectralNorm.update

    def counted(self, weight):
        updates.append(("discriminator", gan.batches_seen))
        original(self, weight)

    SpectralNorm.update = counted  # type: ignore[method-assign]
    try:
        train(gan, 4)
    finally:
        SpectralNorm.update = original  # type: ignore[method-assign]
    assert [batch for _, batch in updates] == [1, 1, 2, 2, 3, 3, 4, 4]  # two layers

    before = vectors(gan.discriminator)
    gan.discriminator.eval()
    gan.discriminator(torch.randn(3, 2))
    gan.discriminator.train()
    gan.discriminator(torch.randn(3, 2))
    assert before and equal_states(before, vectors(gan.discriminator))


def test_singular_vectors_stay_in_the_generators_phase() -> None:
    gan = make_gan(loss=Hinge())
    gan.discriminator = SpectralNormalization()(gan.discriminator)
    watch = UpdateWatch(lambda: vectors(gan.discriminator))
    train(gan, 3, profiler=watch)
    assert [(player, bool(changed_keys(before, after))) for player, before, after in watch.updates] == [
        ("discriminator", True), ("generator", False)
    ] * 3  # fmt: skip


def test_both_players_see_real_and_generated_samples_through_the_augmentation() -> None:
    spy = Spy(0.5)
    gan = make_gan(loss=NonSaturating(), augment=spy, generator_batches=2)
    train(gan, 1)
    assert spy.seen == [4, 4, 4, 4]  # real, generated, and the two batches of the generator's update
    assert spy.adapted == [(4, 4)]
    assert "augment/p" in gan.records[-1]


def test_augmentation_is_in_the_gradient_of_both_players() -> None:
    """A constant added to every image has no effect if the critic's first bias compensates it."""
    shifted, plain = make_gan(augment=Spy(0.5)), make_gan()
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


def test_no_augmentation_adapts_to_a_loss_without_boundary() -> None:
    spy = Spy(0.0)
    train(make_gan(loss=Wasserstein(), augment=spy), 1)
    assert spy.adapted == []
    spy.needs_boundary = True
    with pytest.raises(ValueError, match=r"augment=ada .* Wasserstein"):
        make_gan(loss=Wasserstein(), augment=spy)


def test_schedule_of_the_augmentation_follows_the_images_seen() -> None:
    factors: list[float] = []
    spy = Spy(0.0)
    spy.scale_p = factors.append  # type: ignore[assignment]
    train(make_gan(augment=spy, schedules={"augment_p": lambda images: images / 100}), 3)
    assert factors == [0, 0.04, 0.08]
    train(make_gan(augment=Spy(0.0), schedules={"augment_p": lambda images: 1.0}), 1)  # it has no probability


@pytest.mark.parametrize("generator_batches", [1, 2])
def test_relative_loss_compares_with_the_real_logits_of_the_batch(generator_batches: int) -> None:
    given = []

    class Watched(Relativistic):
        def generator(self, fake_logits, real_logits=None):
            given.append((len(fake_logits), len(real_logits), real_logits.requires_grad))
            return super().generator(fake_logits, real_logits)

    train(make_gan(loss=Watched(), generator_batches=generator_batches), 1)
    assert given == [(4 * generator_batches, 4 * generator_batches, False)]


def test_a_loss_that_is_not_relative_gets_no_real_logits() -> None:
    given = []

    class Watched(NonSaturating):
        def generator(self, fake_logits, real_logits=None):
            given.append(real_logits)
            return super().generator(fake_logits)

    train(make_gan(loss=Watched()), 2)
    assert given == [None, None]


def test_selection_keeps_pairs_together() -> None:
    """The two largest logits, each with the real logit of its row."""
    kept, given = [], []

    class Watched(Relativistic):
        def generator(self, fake_logits, real_logits=None):
            given.append((fake_logits.detach(), real_logits.detach()))
            return super().generator(fake_logits, real_logits)

    def top_two(images_seen: int, fake_logits: Tensor) -> Tensor:
        kept.append((images_seen, fake_logits.detach()))
        return fake_logits.topk(2).indices

    probe = Probe("generator")
    gan = make_gan(loss=Watched(), selection=top_two, penalties={"probe": probe})
    train(gan, 2)
    assert [seen for seen, _ in kept] == [0, 4]
    for (fake, real), (_, all_fake), step in zip(given, kept, probe.steps, strict=True):
        index = all_fake.topk(2).indices
        assert torch.equal(fake, all_fake[index])
        assert torch.equal(real, step.real.logits[index])


def test_penalties_of_either_player_are_evaluated_in_its_phase() -> None:
    probes = {"d": Probe("discriminator"), "g": Probe("generator")}
    gan = make_gan(penalties=probes)
    train(gan, 3)
    assert len(probes["d"].steps) == len(probes["g"].steps) == 3
    assert all(step.network is gan.discriminator for step in probes["d"].steps)
    assert all(step.network is gan.generator for step in probes["g"].steps)
    assert not probes["d"].steps[0].fake.samples.requires_grad
    assert probes["g"].steps[0].fake.samples.requires_grad


def test_a_lazy_penalty_of_the_generator_has_separate_updates() -> None:
    """On every fourth batch two steps of the generator; only its optimizer is compensated."""
    gan = make_gan(optimizer=adam(0.01), penalties={"feature_matching": FeatureMatching(interval=4)})
    counter = StepCounter()
    trainer = train(gan, 8, counter)
    assert counter.steps == {"discriminator": list(range(1, 9)), "generator": [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]}
    learning_rates = [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]
    assert learning_rates == [0.01, pytest.approx(0.01 * 4 / 5)]
    logged = [n for n, record in enumerate(gan.records, 1) if "generator/feature_matching" in record]
    assert logged == [4, 8]


def test_feature_matching_alone_trains_the_generator() -> None:
    gan = make_gan(penalties={"feature_matching": FeatureMatching()}, adversarial_weight=0.0)
    before = state(gan.generator)
    train(gan, 2)
    assert "generator/adversarial" not in gan.records[-1] and "generator/feature_matching" in gan.records[-1]
    assert changed_keys(before, state(gan.generator)) == set(before)
    with pytest.raises(ValueError, match=r"adversarial_weight=0 .*feature_matching"):
        make_gan(adversarial_weight=0.0)


def test_labels_of_generated_samples() -> None:
    """Uniform: about equal frequencies, and new labels in every batch. Data: those of the real batch."""
    batch = {"label": torch.tensor([0, 0, 1, 2])}
    assert Labels(None).sample(Noise(1, 4), batch) is None and Labels(None).of(batch) is None
    assert torch.equal(Labels(3).of(batch), batch["label"])
    assert torch.equal(Labels(3, "data").sample(Noise(1, 4), batch), batch["label"])
    drawn = Labels(3).sample(Noise(1, 30_000), batch)
    assert drawn is not None and drawn.dtype == torch.int64
    assert torch.allclose(drawn.bincount().float(), torch.full((3,), 10_000.0), atol=400)
    all_rows, part = Labels(7).sample(Noise(5, 8)), Labels(7).sample(Noise(5, 8, slice(1, 8, 2)))
    assert all_rows is not None and part is not None and torch.equal(all_rows[1::2], part)
    with pytest.raises(ValueError, match=r"conditioning\.prior=other"):
        Labels(3, "other")


def test_a_step_pairs_samples_with_their_labels() -> None:
    """Real samples have the labels of the batch, generated samples those passed to the generator."""
    gan = make_gan(condition=Labels(5), generator_batches=2)
    given: list[Tensor] = []
    gan.generator.register_forward_pre_hook(lambda _, args: given.append(args[1]))
    batch = {"image": torch.randn(4, 2), "label": torch.tensor([4, 3, 2, 1])}
    step = gan.discriminator_step(batch, Noise(0, 4))
    assert torch.equal(step.real.condition, batch["label"])
    assert torch.equal(step.fake.condition, given[0]) and len(given) == 1
    step = gan.generator_step(batch, Noise(0, 4))
    assert len(step.fake.samples) == 8
    assert torch.equal(step.fake.condition, torch.cat(given[1:]))
