"""The phase runner: who moves, when, on what, and that nobody else does."""

import copy

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from gan_lab.gans.phases import Phase, PhaseRunner
from gan_lab.losses.adversarial import LeastSquares, NonSaturating, Wasserstein
from gan_lab.noise import Noise, mix
from gan_lab.optim.ema import Averaging
from gan_lab.optim.schedules import Linear
from gan_lab.regularizers.constraints import WeightClip
from gan_lab.regularizers.penalties import R1, Drift, GradientPenalty
from gan_lab.types import Judged, Step
from tests.gans.game import Points, adam, make_game, moved, same, state, steps_by_player, train


class Snapshots(Callback):
    """The state of both networks before and after every phase."""

    def __init__(self, game) -> None:
        self.changes: list[tuple[str, set[str], set[str]]] = []
        play = game.runner._move

        def watched(phase, *rest, **named):
            before = state(game.discriminator), state(game.generator)
            record = play(phase, *rest, **named)
            after = state(game.discriminator), state(game.generator)
            self.changes.append((phase.player, moved(before[0], after[0]), moved(before[1], after[1])))
            return record

        game.runner._move = watched


def test_a_phase_changes_nothing_but_its_own_player() -> None:
    """Bit for bit, the running statistics of batch norm included."""
    game = make_game(norm=True, optimizer=adam(), loss=NonSaturating())
    snapshots = Snapshots(game)
    train(game, 4)
    assert [player for player, _, _ in snapshots.changes] == ["discriminator", "generator"] * 4
    for player, discriminator, generator in snapshots.changes:
        mine, others = (discriminator, generator) if player == "discriminator" else (generator, discriminator)
        assert not others
        assert {"layers.0.weight", "output.weight", "layers.1.running_mean"} <= mine


def test_bystanders_get_no_gradient() -> None:
    """Neither is one computed for them, which would cost time and memory."""
    game = make_game()
    free: dict[str, list[bool]] = {"generator": [], "discriminator": []}
    for name, network in (("generator", game.generator), ("discriminator", game.discriminator)):
        network.layers.register_forward_hook(
            lambda module, *_, name=name: free[name].append(next(module.parameters()).requires_grad)
        )
    train(game, 1)
    assert free["discriminator"] == [True, True, False]  # real, generated, the generator's move
    assert free["generator"] == [False, True]


def test_gradients_are_free_again_after_every_step() -> None:
    game = make_game()
    train(game, 3)
    assert all(p.requires_grad for p in [*game.generator.parameters(), *game.discriminator.parameters()])
    assert not any(p.requires_grad for p in game.generator_ema.parameters())


def test_one_step_equals_the_closed_form() -> None:
    """SGD and the Wasserstein loss: the critic moves by rate * (gradient of mean real - mean fake score)."""
    game = make_game()
    critic, generator = game.discriminator, game.generator
    real = Points(8).points[:4]
    fake = generator(game.latent.sample(Noise(mix(0, 1, 0), 4))).detach()
    expected = torch.autograd.grad(critic(fake).mean() - critic(real).mean(), critic.parameters())
    wanted = [p.detach() - 0.1 * g for p, g in zip(critic.parameters(), expected, strict=True)]
    train(game, 1)
    for parameter, want in zip(critic.parameters(), wanted, strict=True):
        assert torch.allclose(parameter, want, atol=1e-7)


@pytest.mark.parametrize("n_critic", [1, 2, 5])
def test_exactly_n_critic_moves_of_the_critic_for_each_of_the_generator(n_critic: int) -> None:
    """Across epoch borders: an epoch has 3 batches, which none but 1 divides."""
    game = make_game(n_critic=n_critic)
    noted = dict(steps_by_player(game))
    train(game, 20, size=12)
    assert noted["discriminator"] == list(range(1, 21))
    assert noted["generator"] == list(range(n_critic, 21, n_critic))


@pytest.mark.parametrize("settings", [{}, {"n_critic": 5}, {"penalties": {"r1": R1(interval=4)}}, {"accumulate": 2}])
def test_one_training_step_is_one_global_step(settings: dict) -> None:
    game = make_game(**settings)
    trainer = train(game, 20, size=12)
    assert trainer.global_step == 20 == game.batches_seen
    assert game.images_seen == 80


def test_lazy_penalty_has_its_own_steps_its_gain_and_a_slower_optimizer() -> None:
    game = make_game(optimizer=adam(0.01), penalties={"r1": R1(weight=3.0, interval=4)})
    noted = dict(steps_by_player(game))
    trainer = train(game, 8)
    assert noted["discriminator"] == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.01 * 4 / 5)
    assert trainer.optimizers[0].param_groups[0]["betas"] == (pytest.approx(0.5**0.8), pytest.approx(0.9**0.8))
    assert trainer.optimizers[1].param_groups[0]["lr"] == 0.01
    (lazy,) = [phase for phase in game.phases() if phase.interval == 4]
    assert lazy.gain == 4 and lazy.player == "discriminator"
    with_penalty = [n for n, record in enumerate(game.records, 1) if "discriminator/r1" in record]
    assert with_penalty == [4, 8]


def test_lazy_penalty_counts_as_often_as_it_is_left_out() -> None:
    """SGD: on the fourth batch the critic moves by (rate * 4/5) * 4 * weight * gradient of the penalty."""
    penalty = R1(weight=3.0, interval=4)
    game = make_game(penalties={"r1": penalty})
    play, steps = game.runner._move, []

    def watched(phase, batch, *rest, **named):
        before = copy.deepcopy(game.discriminator).requires_grad_()
        play(phase, batch, *rest, **named)
        if phase.interval == 4:
            steps.append((before, batch["image"], [p.detach().clone() for p in game.discriminator.parameters()]))

    game.runner._move = watched
    train(game, 4)
    ((network, real, after),) = steps
    judged = Judged(network, lambda: (real, None))
    before = list(network.parameters())
    value = penalty(Step(network, judged, judged, Noise(0, 4)))
    gradients = torch.autograd.grad(value, before, allow_unused=True)
    for old, new, gradient in zip(before, after, gradients, strict=True):
        move = torch.zeros_like(old) if gradient is None else 0.1 * (4 / 5) * 4 * 3.0 * gradient
        assert torch.allclose(new, old - move, atol=1e-6)
    assert max((new - old).abs().max() for old, new in zip(before, after, strict=True)) > 1e-4


def test_a_phase_must_be_due_on_every_batch() -> None:
    game = make_game()
    phase = Phase("discriminator", "discriminator", game.discriminator_terms, interval=2)
    with pytest.raises(ValueError, match="interval 1"):
        PhaseRunner(game, game.players(), [phase], accumulate=1, seed=0)


@pytest.mark.parametrize("penalties", [{}, {"gradient_penalty": GradientPenalty()}])
@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulation_equals_the_whole_batch(accumulate: int, penalties: dict) -> None:
    whole, parts = make_game(penalties=penalties), make_game(penalties=penalties, accumulate=accumulate)
    train(whole, 6)
    train(parts, 6)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    assert whole.records[-1].keys() == parts.records[-1].keys()
    for key, (value,) in whole.records[-1].items():
        assert torch.allclose(value, torch.stack(parts.records[-1][key]).mean(), atol=1e-5), key


def test_gradient_norm_is_clipped_and_noted() -> None:
    free, clipped = make_game(), make_game(clip_norm=0.01)
    seen: list[float] = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer, module, *_) -> None:
            norms = [p.grad.norm() for p in module.generator.parameters() if p.grad is not None]
            seen.append(torch.stack(norms).norm().item())

    train(free, 10)
    assert "grad_norm/generator" not in free.records[-2]
    assert free.records[-1]["grad_norm/generator"][0] > 0.01  # noted on every tenth batch
    train(clipped, 1, Watch())
    assert seen[0] == pytest.approx(0.01, rel=1e-4)
    assert clipped.records[-1]["grad_norm/generator"][0] > 0.01  # the norm before clipping


def test_clipping_sees_the_unscaled_gradient() -> None:
    """Under a loss scale of 1024 the optimizer must get a gradient of norm 0.01, not 0.01 / 1024."""
    from lightning.pytorch.plugins.precision import MixedPrecision

    game = make_game(clip_norm=0.01)
    seen: list[float] = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer, module, *_) -> None:
            norms = [p.grad.float().norm() for p in module.generator.parameters() if p.grad is not None]
            seen.append(torch.stack(norms).norm().item())

    scaler = torch.amp.GradScaler("cpu", init_scale=1024)
    train(game, 1, Watch(), plugins=[MixedPrecision("16-mixed", "cpu", scaler=scaler)])
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
            hidden = game.discriminator.layers(real.samples)
            dtypes.append(hidden.dtype)
            return super().__call__(step)

    game = make_game(penalties={"gradient_penalty": Probe()})
    train(game, 1, precision=precision)
    assert set(dtypes) == {torch.float32}


def test_constraint_is_applied_after_every_step() -> None:
    game = make_game(constraints={"weight_clip": WeightClip(0.0625)})
    train(game, 3)
    assert max(p.abs().max().item() for p in game.discriminator.parameters()) <= 0.0625
    assert max(p.abs().max().item() for p in game.generator.parameters()) > 0.0625


def test_schedule_follows_the_images_seen() -> None:
    game = make_game(schedules={"lr": Linear(end_images=40)})
    rates: list[float] = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer, module, *_) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    train(game, 12, Watch())
    assert rates == pytest.approx([0.1 * max(1 - 4 * n / 40, 0) for n in range(12)])


def test_schedule_of_a_setting_that_the_optimizer_has_not() -> None:
    game = make_game(optimizer=adam(), schedules={"momentum": Linear(end_images=40)})
    with pytest.raises(ValueError, match=r"schedule\.momentum .* Adam .* schedule=constant"):
        game.configure_optimizers()


def test_label_smoothing_is_one_sided() -> None:
    """With least squares, smoothing moves the target of real samples from b to (1 - s) b + s a, up to a constant."""
    real, fake = torch.tensor([0.3, 0.9]), torch.tensor([0.1, 0.2])
    game = make_game(loss=LeastSquares(), label_smoothing=0.1)
    smoothed = game.discriminator_loss(real, fake)
    expected = 0.5 * (real - 0.9).square().mean() + 0.5 * fake.square().mean()
    constant = 0.5 * (0.9 * 1 + 0.1 * 0 - 0.9**2)
    assert smoothed.item() == pytest.approx((expected + constant).item(), rel=1e-6)
    log_loss = make_game(loss=NonSaturating(), label_smoothing=0.1).discriminator_loss(real, fake)
    target = torch.full_like(real, 0.9)
    cross_entropy = nn.functional.binary_cross_entropy_with_logits
    assert log_loss.item() == pytest.approx(
        (cross_entropy(real, target) + cross_entropy(fake, torch.zeros_like(fake))).item(), rel=1e-6
    )


def test_label_smoothing_refuses_a_loss_without_halves() -> None:
    class Paired:
        relative, boundary = False, None

        def discriminator(self, real_logits, fake_logits):
            return (fake_logits - real_logits).mean()

        def generator(self, fake_logits, real_logits=None):
            return -fake_logits.mean()

    with pytest.raises(ValueError, match="set label_smoothing=0"):
        make_game(loss=Paired(), label_smoothing=0.1)


def test_batch_norm_under_a_penalty_is_refused() -> None:
    with pytest.raises(ValueError, match=r"architecture\.discriminator\.norm=none or layer"):
        make_game(norm=True, penalties={"gradient_penalty": GradientPenalty()})
    make_game(norm=True, penalties={"drift": Drift()})  # looks at logits only


def test_generator_batches_makes_the_generators_move_larger() -> None:
    game = make_game(generator_batches=3)
    sizes: list[int] = []
    game.discriminator.layers.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    train(game, 1)
    assert sizes == [4, 4, 12]


def test_averaged_generator_follows_the_images_seen() -> None:
    """The recursion written out: with n_critic = 2 the average moves on every second batch, by 8 images."""
    game = make_game(n_critic=2, averaging=Averaging(half_life_images=16, rampup=None))
    weights: list[torch.Tensor] = [game.generator.output.weight.detach().clone()]

    class Watch(Callback):
        def on_train_batch_end(self, trainer, module, *_) -> None:
            weights.append(module.generator.output.weight.detach().clone())

    train(game, 6, Watch())
    average = weights[0]
    for batch in (2, 4, 6):
        decay = 0.5 ** (8 / 16)
        average = decay * average + (1 - decay) * weights[batch]
    assert torch.allclose(game.generator_ema.output.weight, average, atol=1e-6)


def test_without_memory_the_average_is_the_generator() -> None:
    game = make_game(norm=True, averaging=Averaging(half_life_images=0))
    train(game, 3)
    assert same(state(game.generator), state(game.generator_ema))
    latents = game.sample_latents(5, 1)
    assert torch.equal(game.generate(latents), game.generate(latents, average=False))
    assert game.generator.training and not game.generator_ema.training


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    runs = [make_game(seed=seed, penalties={"gradient_penalty": GradientPenalty()}) for seed in (1, 1, 2)]
    for game in runs:
        train(game, 3)
    assert same(state(runs[0].generator), state(runs[1].generator))
    assert not same(state(runs[0].generator), state(runs[2].generator))


def test_records_are_detached_scalars_under_the_agreed_keys() -> None:
    game = make_game(loss=Wasserstein(), penalties={"gradient_penalty": GradientPenalty()})
    train(game, 10)
    assert set(game.records[-1]) == {
        "discriminator/adversarial",
        "discriminator/gradient_penalty",
        "generator/adversarial",
        "logits/real",
        "logits/fake",
        "grad_norm/discriminator",
        "grad_norm/generator",
    }
    for (value,) in game.records[-1].values():
        assert value.dim() == 0 and not value.requires_grad
