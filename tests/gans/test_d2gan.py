"""D2GAN: inputs and updates of both discriminators, and their separate weights."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gan_lab.architectures.spectral import SpectralNormalization
from gan_lab.config.build import build
from gan_lab.errors import ConfigError
from gan_lab.gans.conditions import Labels
from gan_lab.gans.d2gan import D2GAN
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.parts import Parts
from gan_lab.layers.spectral_norm import SpectralNorm
from gan_lab.losses.dual import Dual
from gan_lab.losses.functional import log_softplus
from gan_lab.noise import Noise
from gan_lab.regularizers.constraints import WeightClip
from gan_lab.regularizers.features import FeatureMatching
from gan_lab.regularizers.penalties import R1, LeCam
from gan_lab.regularizers.weights import Orthogonal
from gan_lab.training.fit import fit
from tests.gans.test_every_model import CHECKPOINTS
from tests.gans.test_two_player import Probe, Spy, vectors
from tests.helpers.points_gan import (
    Discriminator,
    Generator,
    Points,
    StepCounter,
    UpdateWatch,
    adam,
    changed_keys,
    equal_states,
    latents_of,
    sgd,
    state,
    train,
)


def make_d2gan(norm: bool = False, optimizer=None, alpha: float = 0.5, beta: float = 0.8, **settings) -> D2GAN:
    """D2GAN from fixed initial weights."""
    torch.manual_seed(0)
    settings.setdefault("optimizers", {"generator": optimizer or sgd(), "discriminator": optimizer or sgd()})
    parts = Parts(loss=Dual(alpha, beta), latent=LatentPrior(3), **settings)
    return D2GAN(Generator(norm), Discriminator(norm), Discriminator(norm), parts)


def watch_updates(gan: D2GAN) -> UpdateWatch:
    """Record the states of both discriminators and the generator before and after each update."""
    networks = gan.discriminator, gan.second_discriminator, gan.generator
    return UpdateWatch(lambda: [state(network) for network in networks])


def changes_per_update(watch: UpdateWatch) -> list[tuple[str, set[str], set[str], set[str]]]:
    """The player and the changed keys of each network, for each update."""
    return [(player, *map(changed_keys, before, after)) for player, before, after in watch.updates]


def test_the_discriminators_have_separate_weights_and_are_saved_once() -> None:
    gan = make_d2gan(norm=True)
    first, second = (
        {tensor.data_ptr() for tensor in (*network.parameters(), *network.buffers())}
        for network in (gan.discriminator, gan.second_discriminator)
    )
    assert not first & second
    parameters = gan.runner.players["discriminator"].parameters
    assert {p.data_ptr() for p in parameters} <= first | second and len(set(parameters)) == len(parameters)
    assert len(parameters) == 2 * len(list(gan.discriminator.parameters()))
    names = [name for name, _ in gan.named_parameters(remove_duplicate=False)]
    assert {name.split(".")[0] for name in names} == {
        "generator", "averaged", "discriminator", "second_discriminator"
    }  # fmt: skip
    assert len(names) == len({p.data_ptr() for p in gan.parameters()})


def test_both_discriminators_are_updated_in_one_step_and_not_in_the_generators() -> None:
    """Bit for bit, running statistics included; and there is one optimizer for both."""
    gan = make_d2gan(norm=True, optimizer=adam())
    watch, counter = watch_updates(gan), StepCounter()
    trainer = train(gan, 4, counter, profiler=watch)
    assert len(trainer.optimizers) == 2 and counter.steps == {"discriminator": [1, 2, 3, 4], "generator": [1, 2, 3, 4]}
    everything = set(state(gan.discriminator))
    assert [player for player, *_ in watch.updates] == ["discriminator", "generator"] * 4
    for player, first, second, generator in changes_per_update(watch):
        if player == "discriminator":
            assert first == second == everything and not generator
        else:
            assert not first and not second and generator == set(state(gan.generator))


def test_one_batch_equals_the_closed_form() -> None:
    """Gradient ascent on J (eq. 1) by both discriminators, then descent by the generator with new latents."""
    alpha, beta = 0.5, 0.8
    gan = make_d2gan(alpha=alpha, beta=beta)
    first, second, generator = gan.discriminator, gan.second_discriminator, gan.generator
    real = Points(8).points[:4]

    def value(update: str) -> Tensor:
        fake = generator(latents_of(update))
        d1, d2 = (lambda x, d=d: torch.log1p(d(x).exp()) for d in (first, second))
        on_real = alpha * d1(real).log() - d2(real)
        on_fake = beta * d2(fake).log() - d1(fake)
        return on_real.mean() + on_fake.mean()

    discriminators = [*first.parameters(), *second.parameters()]
    up = torch.autograd.grad(value("discriminator"), discriminators)
    wanted = [p.detach() + 0.1 * g for p, g in zip(discriminators, up, strict=True)]
    old = [p.detach().clone() for p in discriminators]
    with torch.no_grad():
        for p, new in zip(discriminators, wanted, strict=True):
            p.copy_(new)
    down = torch.autograd.grad(value("generator"), list(generator.parameters()))
    wanted += [p.detach() - 0.1 * g for p, g in zip(generator.parameters(), down, strict=True)]
    with torch.no_grad():
        for p, before in zip(discriminators, old, strict=True):
            p.copy_(before)

    train(gan, 1)
    for p, want in zip([*discriminators, *generator.parameters()], wanted, strict=True):
        assert torch.allclose(p, want, atol=1e-6)


def test_both_discriminators_see_the_same_samples() -> None:
    seen: dict[str, list[Tensor]] = {"first": [], "second": []}
    gan = make_d2gan(generator_batches=2)
    for name, network in (("first", gan.discriminator), ("second", gan.second_discriminator)):
        network.layers.register_forward_hook(lambda _, inputs, __, name=name: seen[name].append(inputs[0].detach()))
    drawn: list[int] = []
    gan.generator.register_forward_hook(lambda *_: drawn.append(1))
    train(gan, 1)
    assert [len(x) for x in seen["first"]] == [4, 4, 8] and len(drawn) == 1 + 2
    assert all(torch.equal(a, b) for a, b in zip(seen["first"], seen["second"], strict=True))


def test_records() -> None:
    gan = make_d2gan(penalties={"r1": R1(), "orthogonal": Orthogonal(weight=1.0)})
    train(gan, 10)
    assert set(gan.records[-1]) == {
        "discriminator/adversarial", "discriminator/second_adversarial", "generator/adversarial",
        "discriminator/r1", "discriminator/second_r1", "generator/orthogonal", "generator/second_orthogonal",
        "logits/real", "logits/fake", "logits/second_real", "logits/second_fake",
        "accuracy/real", "accuracy/fake", "grad_norm/discriminator", "grad_norm/generator",
    }  # fmt: skip
    assert all(value.dim() == 0 for (value,) in gan.records[-1].values())


def test_generators_loss_of_selected_samples() -> None:
    """The first discriminator selects samples, and the second one scores the same samples."""
    gan = make_d2gan(selection=lambda images_seen, logits: logits.topk(2).indices)
    step = gan.generator_step({"image": torch.zeros(4, 2)}, Noise(0, 4))
    d1, d2 = gan.discriminator(step.fake.samples), gan.second_discriminator(step.fake.samples)
    kept = d1.topk(2).indices
    expected = -nn.functional.softplus(d1[kept]).mean() + 0.8 * log_softplus(d2[kept]).mean()
    assert torch.allclose(gan.generator_criterion(step), expected)


def test_penalties_have_a_value_for_each_discriminator() -> None:
    """A penalty of the discriminators applies to both; one of the generator is the mean for both, not the sum."""
    probes = {"d": Probe("discriminator"), "g": Probe("generator")}
    gan = make_d2gan(penalties=probes)
    train(gan, 2)
    both = gan.discriminator, gan.second_discriminator
    for name, player, networks in (("d", "discriminator", both), ("g", "generator", (gan.generator, gan.generator))):
        penalties = gan.penalties.of(player)
        assert list(penalties) == [name, f"second_{name}"]
        assert [penalty.weight for penalty in penalties.values()] == [1.0 if name == "d" else 0.5] * 2
        for penalty, updated, discriminator in zip(penalties.values(), networks, both, strict=True):
            probe = penalty.penalty
            assert isinstance(probe, Probe) and len(probe.steps) == 2
            assert all(step.network is updated for step in probe.steps)
            assert torch.equal(probe.steps[-1].fake.critic(torch.ones(1, 2)), discriminator(torch.ones(1, 2)))


def test_values_of_the_penalties() -> None:
    """R1 of each discriminator with its own gradient; the two terms of the generator sum to the penalty."""
    orthogonal = Orthogonal(weight=1.0)
    gan = make_d2gan(penalties={"r1": R1(weight=3.0), "orthogonal": orthogonal})
    step = gan.discriminator_step({"image": torch.randn(4, 2)}, Noise(0, 4))
    for name, network in (("r1", gan.discriminator), ("second_r1", gan.second_discriminator)):
        points = step.real.samples.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(network(points).sum(), points)
        penalty = gan.penalties.of("discriminator")[name]
        assert torch.allclose(penalty.weight * penalty(step), 3.0 * 0.5 * gradient.square().sum(1).mean())
    step = gan.generator_step({"image": torch.randn(4, 2)}, Noise(0, 4))
    terms = [penalty.weight * penalty(step) for penalty in gan.penalties.of("generator").values()]
    assert len(terms) == 2 and torch.allclose(sum(terms), orthogonal(step))


def test_penalties_with_state_have_one_for_each_discriminator() -> None:
    gan = make_d2gan(penalties={"lecam": LeCam()})
    train(gan, 3)
    first, second = (gan.penalties.of("discriminator")[name].penalty for name in ("lecam", "second_lecam"))
    assert first.real_average != 0 and second.real_average != 0 and first.real_average != second.real_average
    assert first.images == second.images == 12
    saved = gan.state_dict()
    assert saved["penalties.discriminator/lecam.penalty.real_average"] == first.real_average
    assert saved["penalties.discriminator/second_lecam.penalty.real_average"] == second.real_average


def test_a_lazy_penalty_of_each_discriminator_has_its_own_update() -> None:
    """Two extra steps of the common optimizer on every second batch; each changes the penalized discriminator."""
    gan = make_d2gan(penalties={"r1": R1(interval=2)})
    watch, counter = watch_updates(gan), StepCounter()
    train(gan, 4, counter, profiler=watch)
    assert counter.steps["discriminator"] == [1, 2, 2, 2, 3, 4, 4, 4]
    lazy = [change for k, change in enumerate(changes_per_update(watch)) if k in (3, 4, 9, 10)]
    assert [(player, bool(first), bool(second)) for player, first, second, _ in lazy] == [
        ("discriminator", True, False), ("discriminator", False, True)
    ] * 2  # fmt: skip
    assert gan.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 / (1 + 1 / 2 + 1 / 2))


def test_feature_matching_alone_trains_the_generator() -> None:
    gan = make_d2gan(penalties={"feature_matching": FeatureMatching()}, adversarial_weight=0.0)
    before = state(gan.generator)
    train(gan, 2)
    assert changed_keys(before, state(gan.generator)) == set(before)


def test_every_view_is_augmented_and_adapts_to_the_first_discriminator() -> None:
    spy = Spy(0.5)
    gan = make_d2gan(augment=spy)
    train(gan, 1)
    assert spy.seen == [4] * 6 and spy.adapted == [(4, 4)]


def test_constraints_and_spectral_norm_reach_both() -> None:
    gan = make_d2gan(constraints={"weight_clip": WeightClip(0.0625)})
    train(gan, 2)
    for network in (gan.discriminator, gan.second_discriminator):
        assert max(p.abs().max().item() for p in network.parameters()) <= 0.0625

    gan = make_d2gan()
    for network in (gan.discriminator, gan.second_discriminator):
        SpectralNormalization()(network)
    assert len(gan.runner.players["discriminator"].power_iterations) == 4
    assert all(isinstance(m.weight, Tensor) for m in gan.modules() if isinstance(m, nn.Linear))
    assert sum(isinstance(m, SpectralNorm) for m in gan.modules()) == 4
    watch = UpdateWatch(lambda: [vectors(gan.discriminator), vectors(gan.second_discriminator)])
    train(gan, 1, profiler=watch)
    found = [
        (player, *(bool(keys) for keys in map(changed_keys, before, after))) for player, before, after in watch.updates
    ]
    assert found == [("discriminator", True, True), ("generator", False, False)]


@pytest.mark.parametrize("penalties", [{}, {"r1": R1()}])
def test_accumulation_equals_one_batch(penalties: dict) -> None:
    complete, parts = make_d2gan(penalties=penalties), make_d2gan(penalties=penalties, accumulate=2)
    train(complete, 5)
    train(parts, 5)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(complete.parameters(), parts.parameters(), strict=True))


def test_n_critic_counts_updates_of_both() -> None:
    gan, counter = make_d2gan(n_critic=3), StepCounter()
    trainer = train(gan, 7, counter)
    assert counter.steps == {"discriminator": list(range(1, 8)), "generator": [3, 6]}
    assert trainer.global_step == 7


def test_both_discriminators_get_the_label() -> None:
    gan = make_d2gan(condition=Labels(5))
    batch = {"image": torch.randn(4, 2), "label": torch.tensor([4, 3, 2, 1])}
    step = gan.discriminator_step(batch, Noise(0, 4))
    real, fake = step.others["second_real"], step.others["second_fake"]
    assert torch.equal(real.condition, batch["label"])
    assert fake.condition is step.fake.condition and fake.samples is step.fake.samples


def test_config_gives_both_discriminators_the_same_settings(tiny) -> None:
    cfg = tiny(
        "model=d2gan",
        "architecture=mlp",
        "dataset=ring",
        "architecture.discriminator.depth=3",
        "wrapper/discriminator=[spectral_norm]",
    )
    module = build(cfg).module
    assert isinstance(module, D2GAN)
    first, second = state(module.discriminator), state(module.second_discriminator)
    assert {k: v.shape for k, v in first.items()} == {k: v.shape for k, v in second.items()} and not equal_states(
        first, second
    )
    assert len(module.discriminator.hidden) == 3 and any(key.endswith(".u") for key in second)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("model=d2gan", "loss=hinge"), "Hinge is a loss of one; set loss=dual"),
        (("model=gan", "loss=dual"), "loss=dual needs two discriminators; set model=d2gan"),
        (("model=d2gan", "regularizer=[r1]"), "mixes the samples"),
        (("model=d2gan", "label_smoothing=0.1"), "label_smoothing needs"),
        (("model=d2gan", "loss.beta=0"), r"loss\.beta=0 .* in \(0, 1\]"),
    ],
)
def test_refusals(settings: tuple[str, ...], message: str, tiny) -> None:
    with pytest.raises(ConfigError, match=message) as refusal:
        build(tiny(*settings, "dataset.resolution=16"))
    assert str(refusal.value).endswith(".")


def test_a_penalty_refuses_batch_norm_in_the_second_discriminator_too() -> None:
    parts = make_d2gan(penalties={"r1": R1()}).parts
    with pytest.raises(ValueError, match="mixes the samples"):
        D2GAN(Generator(), Discriminator(), Discriminator(norm=True), parts)


def test_resumes_in_the_middle_of_an_epoch_bit_for_bit(tiny, tmp_path: Path) -> None:
    """Both discriminators, the averages and the state of their penalties."""
    settings = (
        "model=d2gan",
        "dataset.resolution=16",
        "regularizer=[lecam]",
        "wrapper/discriminator=[spectral_norm]",
        *CHECKPOINTS,
    )
    complete = fit(tiny(*settings, "budget.images=160", f"run.dir={tmp_path}/complete"))
    fit(tiny(*settings, "budget.images=160", "callbacks.budget.images=56", f"run.dir={tmp_path}/first"))
    resumed = (f"run.dir={tmp_path}/second", f"resume={tmp_path}/first/checkpoints/last.ckpt")
    second = fit(tiny(*settings, "budget.images=160", *resumed))
    a, b = complete.module.state_dict(), second.module.state_dict()
    assert a.keys() == b.keys() and {"second_discriminator", "penalties"} <= {key.split(".")[0] for key in a}
    for key, value in a.items():
        if isinstance(value, Tensor):
            assert torch.equal(value, b[key]), key
        else:
            assert value == b[key], key
