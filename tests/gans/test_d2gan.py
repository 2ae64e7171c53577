"""Two discriminators against one generator: who sees what, who moves, and that nothing is shared."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gan_lab.architectures.spectral import SpectralNormalization
from gan_lab.config.build import build
from gan_lab.config.fit import fit
from gan_lab.errors import ConfigError
from gan_lab.gans.d2gan import D2GAN
from gan_lab.gans.labels import LabelPrior
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.parts import Parts
from gan_lab.layers.spectral_norm import SpectralNorm
from gan_lab.losses.dual import Dual
from gan_lab.losses.functional import log_softplus
from gan_lab.noise import Noise, mix
from gan_lab.regularizers.constraints import WeightClip
from gan_lab.regularizers.features import FeatureMatching
from gan_lab.regularizers.penalties import R1, LeCam
from gan_lab.regularizers.weights import Orthogonal
from gan_lab.types import Step
from tests.gans.game import Discriminator, Generator, Points, adam, moved, same, sgd, state, steps_by_player, train
from tests.gans.test_every_model import CHECKPOINTS
from tests.gans.test_two_player import Probe, Spy, vectors


def make_d2gan(norm: bool = False, optimizer=None, alpha: float = 0.5, beta: float = 0.8, **settings) -> D2GAN:
    """The game from fixed initial weights."""
    torch.manual_seed(0)
    settings.setdefault("optimizers", {"generator": optimizer or sgd(), "discriminator": optimizer or sgd()})
    parts = Parts(loss=Dual(alpha, beta), latent=LatentPrior(3), **settings)
    return D2GAN(Generator(norm), Discriminator(norm), Discriminator(norm), parts)


def watch_moves(game: D2GAN) -> list[tuple[str, set[str], set[str], set[str]]]:
    """Fills with what each phase changed in the first and the second discriminator and in the generator."""
    networks = game.discriminator, game.second_discriminator, game.generator
    play, changes = game.runner._move, []

    def watched(phase, *rest, **named):
        before = [state(network) for network in networks]
        play(phase, *rest, **named)
        changes.append((phase.player, *(moved(old, state(new)) for old, new in zip(before, networks, strict=True))))

    game.runner._move = watched
    return changes


def test_the_discriminators_share_nothing_and_are_saved_once() -> None:
    game = make_d2gan(norm=True)
    first, second = (
        {tensor.data_ptr() for tensor in (*network.parameters(), *network.buffers())}
        for network in (game.discriminator, game.second_discriminator)
    )
    assert not first & second
    parameters = game.runner.players["discriminator"].parameters
    assert {p.data_ptr() for p in parameters} <= first | second and len(set(parameters)) == len(parameters)
    assert len(parameters) == 2 * len(list(game.discriminator.parameters()))
    names = [name for name, _ in game.named_parameters(remove_duplicate=False)]
    assert {name.split(".")[0] for name in names} == {
        "generator", "generator_ema", "discriminator", "second_discriminator"
    }  # fmt: skip
    assert len(names) == len({p.data_ptr() for p in game.parameters()})


def test_both_discriminators_move_in_one_step_and_rest_in_the_generators() -> None:
    """Bit for bit, running statistics included; and there is one optimizer for both."""
    game = make_d2gan(norm=True, optimizer=adam())
    noted = dict(steps_by_player(game))
    changes = watch_moves(game)
    trainer = train(game, 4)
    assert len(trainer.optimizers) == 2 and noted == {"discriminator": [1, 2, 3, 4], "generator": [1, 2, 3, 4]}
    everything = set(state(game.discriminator))
    assert [player for player, *_ in changes] == ["discriminator", "generator"] * 4
    for player, first, second, generator in changes:
        if player == "discriminator":
            assert first == second == everything and not generator
        else:
            assert not first and not second and generator == set(state(game.generator))


def test_one_batch_equals_the_closed_form() -> None:
    """Gradient ascent on J by both discriminators, and then descent by the generator with fresh latents. J as in eq. 1."""
    alpha, beta = 0.5, 0.8
    game = make_d2gan(alpha=alpha, beta=beta)
    first, second, generator = game.discriminator, game.second_discriminator, game.generator
    real = Points(8).points[:4]

    def value(phase: int) -> Tensor:
        fake = generator(game.latent.sample(Noise(mix(0, 1, phase), 4)))
        d1, d2 = (lambda x, d=d: torch.log1p(d(x).exp()) for d in (first, second))
        on_real = alpha * d1(real).log() - d2(real)
        on_fake = beta * d2(fake).log() - d1(fake)
        return on_real.mean() + on_fake.mean()

    judges = [*first.parameters(), *second.parameters()]
    up = torch.autograd.grad(value(0), judges)
    wanted = [p.detach() + 0.1 * g for p, g in zip(judges, up, strict=True)]
    old = [p.detach().clone() for p in judges]
    with torch.no_grad():
        for p, new in zip(judges, wanted, strict=True):
            p.copy_(new)
    down = torch.autograd.grad(value(1), list(generator.parameters()))
    wanted += [p.detach() - 0.1 * g for p, g in zip(generator.parameters(), down, strict=True)]
    with torch.no_grad():
        for p, before in zip(judges, old, strict=True):
            p.copy_(before)

    train(game, 1)
    for p, want in zip([*judges, *generator.parameters()], wanted, strict=True):
        assert torch.allclose(p, want, atol=1e-6)


def test_both_discriminators_see_the_same_samples() -> None:
    seen: dict[str, list[Tensor]] = {"first": [], "second": []}
    game = make_d2gan(generator_batches=2)
    for name, network in (("first", game.discriminator), ("second", game.second_discriminator)):
        network.layers.register_forward_hook(lambda _, inputs, __, name=name: seen[name].append(inputs[0].detach()))
    drawn: list[int] = []
    game.generator.register_forward_hook(lambda *_: drawn.append(1))
    train(game, 1)
    assert [len(x) for x in seen["first"]] == [4, 4, 8] and len(drawn) == 1 + 2
    assert all(torch.equal(a, b) for a, b in zip(seen["first"], seen["second"], strict=True))


def test_records() -> None:
    game = make_d2gan(penalties={"r1": R1(), "orthogonal": Orthogonal(weight=1.0)})
    train(game, 10)
    assert set(game.records[-1]) == {
        "discriminator/adversarial", "discriminator/second_adversarial", "generator/adversarial",
        "discriminator/r1", "discriminator/second_r1", "generator/orthogonal", "generator/second_orthogonal",
        "logits/real", "logits/fake", "logits/second_real", "logits/second_fake",
        "accuracy/real", "accuracy/fake", "grad_norm/discriminator", "grad_norm/generator",
    }  # fmt: skip
    assert all(value.dim() == 0 for (value,) in game.records[-1].values())


def test_generators_loss_of_selected_samples() -> None:
    """The first discriminator picks, and the second one judges the same samples."""
    game = make_d2gan(selection=lambda images_seen, logits: logits.topk(2).indices)
    step = game.generator_step({"image": torch.zeros(4, 2)}, Noise(0, 4))
    d1, d2 = game.discriminator(step.fake.samples), game.second_discriminator(step.fake.samples)
    kept = d1.topk(2).indices
    expected = -nn.functional.softplus(d1[kept]).mean() + 0.8 * log_softplus(d2[kept]).mean()
    assert torch.allclose(game.generator_loss(step), expected)


def test_penalties_have_a_value_for_each_discriminator() -> None:
    """Every one in the discriminators' move counts; the generator's are the mean of two, so weights are not counted twice."""
    probes = {"d": Probe("discriminator"), "g": Probe("generator")}
    game = make_d2gan(penalties=probes)
    train(game, 2)
    for name, networks in {
        "d": (game.discriminator, game.second_discriminator),
        "g": (game.generator, game.generator),
    }.items():
        for probe, moving, judge in zip(
            (probes[name], game.second_penalties[name]),
            networks,
            (game.discriminator, game.second_discriminator),
            strict=True,
        ):
            assert isinstance(probe, Probe) and len(probe.steps) == 2
            assert all(step.network is moving for step in probe.steps)
            assert torch.equal(probe.steps[-1].fake.critic(torch.ones(1, 2)), judge(torch.ones(1, 2)))

    penalties = {"r1": R1(weight=3.0), "orthogonal": Orthogonal(weight=1.0)}
    game = make_d2gan(penalties=penalties)
    step = game.discriminator_step({"image": torch.randn(4, 2)}, Noise(0, 4))
    terms = game.penalty_terms(["r1"], step)
    for name, network in (("r1", game.discriminator), ("second_r1", game.second_discriminator)):
        points = step.real.samples.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(network(points).sum(), points)
        assert torch.allclose(terms[name], 3.0 * 0.5 * gradient.square().sum(1).mean())
    step = game.generator_step({"image": torch.randn(4, 2)}, Noise(0, 4))
    terms = game.penalty_terms(["orthogonal"], step)
    alone = penalties["orthogonal"](Step(game.generator, step.real, step.fake, step.noise))
    assert torch.allclose(sum(terms.values(), torch.zeros(())), alone)


def test_penalties_with_memory_remember_each_discriminator_apart() -> None:
    game = make_d2gan(penalties={"lecam": LeCam()})
    train(game, 3)
    memory, second = (
        game.state_dict()["memories.lecam.real_average"],
        game.state_dict()["second_memories.lecam.real_average"],
    )
    assert memory != 0 and second != 0 and memory != second
    assert game.memories["lecam"].images == game.second_memories["lecam"].images == 12


def test_a_lazy_penalty_is_one_more_step_for_both() -> None:
    game = make_d2gan(penalties={"r1": R1(interval=2)})
    noted = dict(steps_by_player(game))
    changes = watch_moves(game)
    train(game, 4)
    assert noted["discriminator"] == [1, 2, 2, 3, 4, 4]
    lazy = [change for k, change in enumerate(changes) if k in (3, 8)]
    assert all(player == "discriminator" and first and second for player, first, second, _ in lazy)
    assert game.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 2 / 3)


def test_feature_matching_alone_moves_the_generator() -> None:
    game = make_d2gan(penalties={"feature_matching": FeatureMatching()}, adversarial_weight=0.0)
    before = state(game.generator)
    train(game, 2)
    assert moved(before, state(game.generator)) == set(before)


def test_every_view_is_augmented_and_the_first_one_teaches() -> None:
    spy = Spy(0.5)
    game = make_d2gan(augment=spy)
    train(game, 1)
    assert spy.seen == [4] * 6 and spy.learned == [(4, 4)]


def test_constraints_and_spectral_norm_reach_both() -> None:
    game = make_d2gan(constraints={"weight_clip": WeightClip(0.0625)})
    train(game, 2)
    for network in (game.discriminator, game.second_discriminator):
        assert max(p.abs().max().item() for p in network.parameters()) <= 0.0625

    game = make_d2gan()
    for network in (game.discriminator, game.second_discriminator):
        SpectralNormalization()(network)
    assert len(game.runner.players["discriminator"].power_iterations) == 4
    assert all(isinstance(m.weight, Tensor) for m in game.modules() if isinstance(m, nn.Linear))
    assert sum(isinstance(m, SpectralNorm) for m in game.modules()) == 4
    play, changes = game.runner._move, []

    def watched(phase, *rest, **named):
        before = [vectors(game.discriminator), vectors(game.second_discriminator)]
        play(phase, *rest, **named)
        after = [vectors(game.discriminator), vectors(game.second_discriminator)]
        changes.append((phase.player, *(bool(moved(a, b)) for a, b in zip(before, after, strict=True))))

    game.runner._move = watched
    train(game, 1)
    assert changes == [("discriminator", True, True), ("generator", False, False)]


@pytest.mark.parametrize("penalties", [{}, {"r1": R1()}])
def test_accumulation_equals_the_whole_batch(penalties: dict) -> None:
    whole, parts = make_d2gan(penalties=penalties), make_d2gan(penalties=penalties, accumulate=2)
    train(whole, 5)
    train(parts, 5)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))


def test_n_critic_counts_moves_of_both() -> None:
    game = make_d2gan(n_critic=3)
    noted = dict(steps_by_player(game))
    trainer = train(game, 7)
    assert noted == {"discriminator": list(range(1, 8)), "generator": [3, 6]}
    assert trainer.global_step == 7


def test_both_discriminators_know_the_label() -> None:
    game = make_d2gan(labels=LabelPrior(5))
    batch = {"image": torch.randn(4, 2), "label": torch.tensor([4, 3, 2, 1])}
    step = game.discriminator_step(batch, Noise(0, 4))
    assert torch.equal(step.second.real.labels, batch["label"])
    assert step.second.fake.labels is step.fake.labels and step.second.fake.samples is step.fake.samples


def test_config_gives_both_discriminators_the_same_settings(tiny) -> None:
    cfg = tiny(
        "model=d2gan",
        "architecture=mlp",
        "dataset=ring",
        "architecture.discriminator.depth=3",
        "wrapper=[spectral_norm]",
    )
    module = build(cfg).module
    assert isinstance(module, D2GAN)
    first, second = state(module.discriminator), state(module.second_discriminator)
    assert {k: v.shape for k, v in first.items()} == {k: v.shape for k, v in second.items()} and not same(first, second)
    assert len(module.discriminator.hidden) == 3 and any(key.endswith(".u") for key in second)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("model=d2gan", "loss=hinge"), "model=d2gan needs loss=dual"),
        (("model=gan", "loss=dual"), "loss=dual is for two discriminators; set model=d2gan"),
        (("model=d2gan", "regularizer=[r1]"), "mixes the samples"),
        (("model=d2gan", "label_smoothing=0.1"), "label_smoothing needs"),
        (("model=d2gan", "loss.beta=0"), r"loss\.beta=0 .* in \(0, 1\]"),
    ],
)
def test_refusals(settings: tuple[str, ...], words: str, tiny) -> None:
    with pytest.raises(ConfigError, match=words) as refusal:
        build(tiny(*settings, "dataset.resolution=16"))
    assert str(refusal.value).endswith(".")


def test_a_penalty_refuses_batch_norm_in_the_second_discriminator_too() -> None:
    parts = make_d2gan(penalties={"r1": R1()}).parts
    with pytest.raises(ValueError, match="mixes the samples"):
        D2GAN(Generator(), Discriminator(), Discriminator(norm=True), parts)


def test_resumes_in_the_middle_of_an_epoch_bit_for_bit(tiny, tmp_path: Path) -> None:
    """Both discriminators, the averages and the memories of their penalties."""
    settings = ("model=d2gan", "dataset.resolution=16", "regularizer=[lecam]", "wrapper=[spectral_norm]", *CHECKPOINTS)
    whole = fit(tiny(*settings, "budget.images=160", f"run.dir={tmp_path}/whole"))
    fit(tiny(*settings, "budget.images=160", "callbacks.budget.images=56", f"run.dir={tmp_path}/first"))
    second = fit(tiny(*settings, "budget.images=160", f"run.dir={tmp_path}/second", f"resume={tmp_path}/first"))
    a, b = whole.module.state_dict(), second.module.state_dict()
    assert a.keys() == b.keys() and {"second_discriminator", "second_memories"} <= {key.split(".")[0] for key in a}
    for key, value in a.items():
        if isinstance(value, Tensor):
            assert torch.equal(value, b[key]), key
        else:
            assert value == b[key], key
