"""The phase runner: the updated player, its inputs and interval; other players do not change."""

import copy

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from gan_lab.gans.phases import Phase, PhaseRunner
from gan_lab.losses.adversarial import LeastSquares, NonSaturating, Wasserstein
from gan_lab.noise import Noise
from gan_lab.optim.ema import Averaging
from gan_lab.optim.schedules import Linear
from gan_lab.regularizers.constraints import WeightClip
from gan_lab.regularizers.penalties import R1, Drift, GradientPenalty
from gan_lab.step import DiscriminatorOutputs, Samples, Step
from tests.helpers.player_updates import changes_per_update
from tests.helpers.points_gan import (
    Points,
    StepCounter,
    UpdateWatch,
    adam,
    equal_states,
    latents_of,
    make_gan,
    state,
    train,
)


def test_a_phase_changes_only_its_own_player() -> None:
    """Bit for bit, including the running statistics of batch norm."""
    gan = make_gan(norm=True, optimizer=adam(), loss=NonSaturating())
    updates = changes_per_update(gan, 4)
    assert [player for player, _ in updates] == ["discriminator", "generator"] * 4
    for player, changed in updates:
        assert {"layers.0.weight", "output.weight", "layers.1.running_mean"} <= changed.pop(player)
        assert not any(changed.values())


def test_other_players_get_no_gradient() -> None:
    """None is computed for them either, which would cost time and memory."""
    gan = make_gan()
    free: dict[str, list[bool]] = {"generator": [], "discriminator": []}
    for name, network in (("generator", gan.generator), ("discriminator", gan.discriminator)):
        network.layers.register_forward_hook(
            lambda module, *_, name=name: free[name].append(next(module.parameters()).requires_grad)
        )
    train(gan, 1)
    assert free["discriminator"] == [True, True, False]  # real and generated samples, then the generator's update
    assert free["generator"] == [False, True]


def test_parameters_require_gradients_again_after_every_step() -> None:
    gan = make_gan()
    train(gan, 3)
    assert all(p.requires_grad for p in [*gan.generator.parameters(), *gan.discriminator.parameters()])
    assert not any(p.requires_grad for p in gan.averaged["generator"].parameters())


def test_one_step_equals_the_closed_form() -> None:
    """SGD and the Wasserstein loss: the step of the critic is lr * (gradient of mean real - mean fake score)."""
    gan = make_gan()
    critic, generator = gan.discriminator, gan.generator
    real = Points(8).points[:4]
    fake = generator(latents_of("discriminator")).detach()
    expected = torch.autograd.grad(critic(fake).mean() - critic(real).mean(), critic.parameters())
    wanted = [p.detach() - 0.1 * g for p, g in zip(critic.parameters(), expected, strict=True)]
    train(gan, 1)
    for parameter, want in zip(critic.parameters(), wanted, strict=True):
        assert torch.allclose(parameter, want, atol=1e-7)


@pytest.mark.parametrize("n_critic", [1, 2, 5])
def test_exactly_n_critic_updates_of_the_critic_for_each_of_the_generator(n_critic: int) -> None:
    """Across epochs: an epoch has 3 batches, not a multiple of n_critic, except 1."""
    gan, counter = make_gan(n_critic=n_critic), StepCounter()
    train(gan, 20, counter, size=12)
    assert counter.steps["discriminator"] == list(range(1, 21))
    assert counter.steps["generator"] == list(range(n_critic, 21, n_critic))


@pytest.mark.parametrize("settings", [{}, {"n_critic": 5}, {"penalties": {"r1": R1(interval=4)}}, {"accumulate": 2}])
def test_one_training_step_is_one_global_step(settings: dict) -> None:
    gan = make_gan(**settings)
    trainer = train(gan, 20, size=12)
    assert trainer.global_step == 20 == gan.batches_seen
    assert gan.images_seen == 80


def test_lazy_penalty_has_its_own_steps_its_gain_and_a_slower_optimizer() -> None:
    gan = make_gan(optimizer=adam(0.01), penalties={"r1": R1(weight=3.0, interval=4)})
    counter = StepCounter()
    trainer = train(gan, 8, counter)
    assert counter.steps["discriminator"] == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.01 * 4 / 5)
    assert trainer.optimizers[0].param_groups[0]["betas"] == (pytest.approx(0.5**0.8), pytest.approx(0.9**0.8))
    assert trainer.optimizers[1].param_groups[0]["lr"] == 0.01
    (lazy,) = [update for update in gan.runner.updates if update.lazy]
    assert (lazy.name, lazy.interval, lazy.gain) == ("discriminator/r1", 4, 4)
    with_penalty = [n for n, record in enumerate(gan.records, 1) if "discriminator/r1" in record]
    assert with_penalty == [4, 8]


def test_lazy_penalty_is_multiplied_by_its_interval() -> None:
    """SGD: on the fourth batch the step of the critic is (lr * 4/5) * 4 * weight * gradient of the penalty."""
    penalty = R1(weight=3.0, interval=4)
    gan = make_gan(penalties={"r1": penalty})
    watch = UpdateWatch(lambda: copy.deepcopy(gan.discriminator).requires_grad_())
    train(gan, 4, profiler=watch)
    assert [player for player, _, _ in watch.updates[-3:]] == ["discriminator", "discriminator", "generator"]
    _, network, stepped = watch.updates[-2]
    outputs = DiscriminatorOutputs(network, lambda: Samples(Points(8).points[4:]))
    before, after = list(network.parameters()), list(stepped.parameters())
    value = penalty(Step(network, outputs, outputs, Noise(0, 4)))
    gradients = torch.autograd.grad(value, before, allow_unused=True)
    for old, new, gradient in zip(before, after, gradients, strict=True):
        step = torch.zeros_like(old) if gradient is None else 0.1 * (4 / 5) * 4 * 3.0 * gradient
        assert torch.allclose(new, old - step, atol=1e-6)
    assert max((new - old).abs().max() for old, new in zip(before, after, strict=True)) > 1e-4


def test_a_phase_must_be_due_on_every_batch() -> None:
    gan = make_gan()
    phase = Phase("discriminator", gan.discriminator_step, gan.discriminator_loss, interval=2)
    with pytest.raises(ValueError, match="interval 1"):
        PhaseRunner(gan, gan.players(), [phase], accumulate=1, seed=0)


@pytest.mark.parametrize("penalties", [{}, {"gradient_penalty": GradientPenalty()}])
@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulation_equals_one_batch(accumulate: int, penalties: dict) -> None:
    one_batch, parts = make_gan(penalties=penalties), make_gan(penalties=penalties, accumulate=accumulate)
    train(one_batch, 6)
    train(parts, 6)
    for a, b in zip(one_batch.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    assert one_batch.records[-1].keys() == parts.records[-1].keys()
    for key, (value,) in one_batch.records[-1].items():
        assert torch.allclose(value, torch.stack(parts.records[-1][key]).mean(), atol=1e-5), key


def test_gradient_norm_is_clipped_and_recorded() -> None:
    free, clipped = make_gan(), make_gan(clip_norm=0.01)
    seen: list[float] = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer, module, *_) -> None:
            norms = [p.grad.norm() for p in module.generator.parameters() if p.grad is not None]
            seen.append(torch.stack(norms).norm().item())

    train(free, 10)
    assert "grad_norm/generator" not in free.records[-2]
    assert free.records[-1]["grad_norm/generator"][0] > 0.01  # recorded on every tenth batch
    train(clipped, 1, Watch())
    assert seen[0] == pytest.approx(0.01, rel=1e-4)
    assert clipped.records[-1]["grad_norm/generator"][0] > 0.01  # the norm before clipping


def test_clipping_sees_the_unscaled_gradient() -> None:
    """With a loss scale of 1024 the optimizer must get a gradient of norm 0.01, not 0.01 / 1024."""
    from lightning.pytorch.plugins.precision import MixedPrecision

    gan = make_gan(clip_norm=0.01)
    seen: list[float] = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer, module, *_) -> None:
            norms = [p.grad.float().norm() for p in module.generator.parameters() if p.grad is not None]
            seen.append(torch.stack(norms).norm().item())

    scaler = torch.amp.GradScaler("cpu", init_scale=1024)
    train(gan, 1, Watch(), plugins=[MixedPrecision("16-mixed", "cpu", scaler=scaler)])
    assert seen[0] == pytest.approx(0.01, rel=1e-2)


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_penalties_are_evaluated_in_float32(precision: str) -> None:
    dtypes: list[torch.dtype] = []

    class Probe(GradientPenalty):
        def __call__(self, step):
            real, fake = step.real, step.fake
            dtypes.extend(
                [real.critic(real.samples).dtype, fake.samples.dtype, real.samples.dtype, real.features.dtype]
            )
            hidden = gan.discriminator.layers(real.samples)
            dtypes.append(hidden.dtype)
            return super().__call__(step)

    gan = make_gan(penalties={"gradient_penalty": Probe()})
    train(gan, 1, precision=precision)
    assert set(dtypes) == {torch.float32}


def test_constraint_is_applied_after_every_step() -> None:
    gan = make_gan(constraints={"weight_clip": WeightClip(0.0625)})
    train(gan, 3)
    assert max(p.abs().max().item() for p in gan.discriminator.parameters()) <= 0.0625
    assert max(p.abs().max().item() for p in gan.generator.parameters()) > 0.0625


def test_schedule_follows_the_images_seen() -> None:
    gan = make_gan(schedules={"lr": Linear(end_images=40)})
    learning_rates: list[float] = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer, module, *_) -> None:
            learning_rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    train(gan, 12, Watch())
    assert learning_rates == pytest.approx([0.1 * max(1 - 4 * n / 40, 0) for n in range(12)])


def test_schedule_of_a_beta_is_a_factor_on_its_distance_to_1() -> None:
    gan = make_gan(optimizer=adam(), schedules={"beta2": Linear(end_images=40, end_factor=0.1)})
    betas: list[tuple[float, float]] = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer, module, *_) -> None:
            betas.append(trainer.optimizers[1].param_groups[0]["betas"])

    first, second = gan.configure_optimizers()[0].param_groups[0]["betas"]
    train(gan, 11, Watch())
    assert [beta for _, beta in betas] == pytest.approx([1 - (1 - second) * (1 - 0.9 * n / 10) for n in range(11)])
    assert {beta for beta, _ in betas} == {first}


def test_schedule_of_the_penalty_weight() -> None:
    """Weight and factor are interchangeable, in the update of a lazy penalty as well."""
    for interval in (1, 2):
        halved = make_gan(penalties={"r1": R1(4.0, interval)}, schedules={"penalty_weight": lambda images: 0.5})
        plain = make_gan(penalties={"r1": R1(2.0, interval)})
        for gan in (halved, plain):
            train(gan, 4)
        assert equal_states(state(halved.discriminator), state(plain.discriminator))
        assert halved.records[1]["discriminator/r1"] == plain.records[1]["discriminator/r1"]


def test_schedule_of_the_half_life() -> None:
    gan = make_gan(averaging=Averaging(1e6, rampup=None), schedules={"ema_half_life": lambda images: 0.0})
    train(gan, 2)
    assert equal_states(state(gan.averaged["generator"]), state(gan.generator))


def test_schedule_of_a_setting_that_the_optimizer_does_not_have() -> None:
    gan = make_gan(optimizer=adam(), schedules={"momentum": Linear(end_images=40)})
    with pytest.raises(ValueError, match=r"schedule\.momentum .* Adam .* schedule=constant"):
        gan.configure_optimizers()


def test_label_smoothing_is_one_sided() -> None:
    """With least squares, smoothing changes the target of real samples from b to (1 - s) b + s a, up to a constant."""
    real, fake = torch.tensor([0.3, 0.9]), torch.tensor([0.1, 0.2])
    gan = make_gan(loss=LeastSquares(), label_smoothing=0.1)
    smoothed = gan.discriminator_criterion(real, fake)
    expected = 0.5 * (real - 0.9).square().mean() + 0.5 * fake.square().mean()
    constant = 0.5 * (0.9 * 1 + 0.1 * 0 - 0.9**2)
    assert smoothed.item() == pytest.approx((expected + constant).item(), rel=1e-6)
    log_loss = make_gan(loss=NonSaturating(), label_smoothing=0.1).discriminator_criterion(real, fake)
    target = torch.full_like(real, 0.9)
    cross_entropy = nn.functional.binary_cross_entropy_with_logits
    assert log_loss.item() == pytest.approx(
        (cross_entropy(real, target) + cross_entropy(fake, torch.zeros_like(fake))).item(), rel=1e-6
    )


def test_label_smoothing_refuses_a_loss_without_separate_terms() -> None:
    class Paired:
        relative, boundary = False, None

        def discriminator(self, real_logits, fake_logits):
            return (fake_logits - real_logits).mean()

        def generator(self, fake_logits, real_logits=None):
            return -fake_logits.mean()

    with pytest.raises(ValueError, match="set label_smoothing=0"):
        make_gan(loss=Paired(), label_smoothing=0.1)


def test_batch_norm_under_a_penalty_is_refused() -> None:
    with pytest.raises(ValueError, match=r"architecture\.discriminator\.norm=none or layer"):
        make_gan(norm=True, penalties={"gradient_penalty": GradientPenalty()})
    make_gan(norm=True, penalties={"drift": Drift()})  # a penalty of logits only


def test_generator_batches_makes_the_generators_update_larger() -> None:
    gan = make_gan(generator_batches=3)
    sizes: list[int] = []
    gan.discriminator.layers.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    train(gan, 1)
    assert sizes == [4, 4, 12]


def test_averaged_generator_follows_the_images_seen() -> None:
    """An explicit recursion: with n_critic = 2 the average is updated on every second batch, by 8 images."""
    gan = make_gan(n_critic=2, averaging=Averaging(half_life_images=16, rampup=None))
    weights: list[torch.Tensor] = [gan.generator.output.weight.detach().clone()]

    class Watch(Callback):
        def on_train_batch_end(self, trainer, module, *_) -> None:
            weights.append(module.generator.output.weight.detach().clone())

    train(gan, 6, Watch())
    average = weights[0]
    for batch in (2, 4, 6):
        decay = 0.5 ** (8 / 16)
        average = decay * average + (1 - decay) * weights[batch]
    assert torch.allclose(gan.averaged["generator"].output.weight, average, atol=1e-6)


def test_with_half_life_zero_the_average_is_the_generator() -> None:
    gan = make_gan(norm=True, averaging=Averaging(half_life_images=0))
    train(gan, 3)
    assert equal_states(state(gan.generator), state(gan.averaged["generator"]))
    latents = gan.sample_inputs(5, 1)[0]
    assert torch.equal(gan.generate(latents), gan.generate(latents, average=False))
    assert gan.generator.training and not gan.averaged["generator"].training


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    runs = [make_gan(seed=seed, penalties={"gradient_penalty": GradientPenalty()}) for seed in (1, 1, 2)]
    for gan in runs:
        train(gan, 3)
    assert equal_states(state(runs[0].generator), state(runs[1].generator))
    assert not equal_states(state(runs[0].generator), state(runs[2].generator))


def test_records_are_detached_scalars_with_documented_keys() -> None:
    gan = make_gan(loss=Wasserstein(), penalties={"gradient_penalty": GradientPenalty()})
    train(gan, 10)
    assert set(gan.records[-1]) == {
        "discriminator/adversarial",
        "discriminator/gradient_penalty",
        "generator/adversarial",
        "logits/real",
        "logits/fake",
        "grad_norm/discriminator",
        "grad_norm/generator",
    }
    for (value,) in gan.records[-1].values():
        assert value.dim() == 0 and not value.requires_grad
