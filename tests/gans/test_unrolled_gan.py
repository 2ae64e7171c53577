"""Unrolled GAN: the generator's gradient against finite differences, and an unchanged discriminator."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gan_lab.architectures.spectral import SpectralNormalization
from gan_lab.config.build import build
from gan_lab.errors import ConfigError
from gan_lab.gans.latents import LatentPrior
from gan_lab.gans.parts import Parts
from gan_lab.gans.unrolled_gan import UnrolledGAN
from gan_lab.losses.adversarial import Minimax, NonSaturating, Wasserstein
from gan_lab.noise import Noise
from gan_lab.step import DiscriminatorOutputs, Samples, Step
from gan_lab.training.fit import fit
from tests.gans.test_every_model import CHECKPOINTS
from tests.gans.test_two_player import Spy
from tests.helpers.points_gan import (
    Discriminator,
    Generator,
    UpdateWatch,
    adam,
    equal_states,
    make_gan,
    sgd,
    state,
    train,
)
from tests.optim.test_unroll import OPTIMIZERS, equal


def make_unrolled(steps: int = 3, norm: bool = False, optimizer=None, **settings) -> UnrolledGAN:
    """An unrolled GAN from fixed initial weights."""
    torch.manual_seed(0)
    settings.setdefault("loss", Minimax())
    settings.setdefault("optimizers", {"generator": optimizer or sgd(), "discriminator": optimizer or sgd()})
    return UnrolledGAN(Generator(norm), Discriminator(norm), Parts(latent=LatentPrior(3), **settings), steps)


class Line(nn.Module):
    """C(x) = d x."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return x

    def head(self, features: Tensor, condition: Tensor | None = None) -> Tensor:
        return (self.slope * features).squeeze(1)


class Constant(nn.Module):
    """G(z) = g for all z."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.value.expand(len(latents), 1)


def test_bilinear_problem_by_hand() -> None:
    """Data at 0, samples at g = .7, C(x) = d x with d = .3: K = 5 steps with lr .1 make f = -g (d - K r g).

    So the generator's slope is 2 K r g - d = .4, and .05 without the second-order path.
    """
    optimizer = torch.optim.SGD
    parts = Parts(
        loss=Wasserstein(),
        latent=LatentPrior(1),
        optimizers={"generator": sgd(), "discriminator": lambda p: optimizer(p, lr=0.1)},
    )
    gan = UnrolledGAN(Constant(0.7), Line(0.3), parts, unroll_steps=5)
    gan.runner.optimizer = lambda player: optimizer([gan.discriminator.slope], lr=0.1)  # type: ignore[method-assign]
    step = gan.generator_step({"image": torch.zeros(4, 1)}, Noise(0, 4))
    (slope,) = torch.autograd.grad(gan.generator_criterion(step), gan.generator.value)
    assert slope.item() == pytest.approx(0.4, abs=1e-6)
    assert gan.discriminator.slope.item() == pytest.approx(0.3) and gan.discriminator.slope.grad is None


class Smooth(Discriminator):
    """With tanh, because finite differences need smooth functions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.Tanh())


@pytest.mark.parametrize("steps", [0, 1, 4])
@pytest.mark.parametrize("name", ["adam", "momentum"])
def test_gradient_is_that_of_finite_differences(name: str, steps: int) -> None:
    """f after K steps of torch's optimizer on a copy during a run, as a function of a coordinate of a sample."""
    gan = make_unrolled(steps)
    gan.discriminator = network = Smooth().double()
    optimizer = OPTIMIZERS[name](network.parameters())
    gan.runner.optimizer = lambda player: optimizer  # type: ignore[method-assign]
    real, fake = torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)

    def discriminator_loss(network: nn.Module, fake: Tensor) -> Tensor:
        cross_entropy = nn.functional.binary_cross_entropy_with_logits
        a, b = network(real), network(fake)
        return cross_entropy(a, torch.ones_like(a)) + cross_entropy(b, torch.zeros_like(b))

    def descend(network: nn.Module, optimizer: torch.optim.Optimizer, fake: Tensor) -> None:
        optimizer.zero_grad()
        discriminator_loss(network, fake).backward()
        optimizer.step()

    for _ in range(3):
        descend(network, optimizer, fake)

    def after(fake: Tensor) -> float:
        ahead = copy.deepcopy(network)
        coordinate = OPTIMIZERS[name](ahead.parameters())
        coordinate.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for _ in range(steps):
            descend(ahead, coordinate, fake)
        return -discriminator_loss(ahead, fake).item()

    leaf = fake.clone().requires_grad_()
    step = Step(
        gan.generator,
        DiscriminatorOutputs(network, lambda: Samples(real)),
        DiscriminatorOutputs(network, lambda: Samples(leaf)),
        Noise(0, 4),
    )
    loss = gan.generator_criterion(step)
    assert loss.item() == pytest.approx(after(fake), abs=1e-12)
    (gradient,) = torch.autograd.grad(loss, leaf)
    for index in ((0, 0), (1, 1), (3, 0)):
        nudge = torch.zeros_like(fake)
        nudge[index] = 1e-5
        numeric = (after(fake + nudge) - after(fake - nudge)) / 2e-5
        assert gradient[index].item() == pytest.approx(numeric, abs=1e-8)


def test_without_unrolled_steps_it_is_the_minimax_gan() -> None:
    unrolled, plain = (
        make_unrolled(0, norm=True, optimizer=adam()),
        make_gan(norm=True, optimizer=adam(), loss=Minimax()),
    )
    train(unrolled, 5)
    train(plain, 5)
    for (key, a), (_, b) in zip(unrolled.named_parameters(), plain.named_parameters(), strict=True):
        assert torch.equal(a, b), key


def test_unrolled_steps_change_the_generators_gradient() -> None:
    gans = [make_unrolled(steps) for steps in (0, 1, 5)]
    for gan in gans:
        train(gan, 1)
    assert all(equal_states(state(gans[0].discriminator), state(gan.discriminator)) for gan in gans)
    weights = [gan.generator.output.weight for gan in gans]
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])


@pytest.mark.parametrize("optimizer", [adam(), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5)], ids=["adam", "sgd"])
def test_unrolling_does_not_change_the_discriminator(optimizer) -> None:
    """Bit for bit: weights, statistics, singular vectors, gradients, state of the optimizer, random numbers."""
    gan = make_unrolled(3, norm=True, optimizer=optimizer)
    SpectralNormalization()(gan.discriminator)

    def everything() -> dict:
        return {
            "weights": state(gan.discriminator),
            "gradients": [p.grad for p in gan.discriminator.parameters()],
            "optimizer": gan.trainer.optimizers[0].state_dict(),
            "mode": [(m.training, getattr(m, "track_running_stats", None)) for m in gan.discriminator.modules()],
            "free": [p.requires_grad for p in gan.discriminator.parameters()],
            "random": torch.get_rng_state(),
        }

    watch = UpdateWatch(lambda: (copy.deepcopy(everything()), state(gan.generator)))
    train(gan, 4, profiler=watch)
    assert [player for player, _, _ in watch.updates] == ["discriminator", "generator"] * 4
    for player, before, after in watch.updates:
        assert equal_states(before[1], after[1]) == (player == "discriminator")
        assert equal(before[0], after[0]) == (player == "generator")
    assert gan.trainer.optimizers[0].state_dict()["state"][0].get("step", 4) == 4


def test_all_steps_use_one_draw_of_the_augmentation() -> None:
    spy = Spy(0.5)
    train(make_unrolled(4, augment=spy), 1)
    assert spy.seen == [4, 4, 4, 4]  # real and generated samples in both updates


def test_the_discriminator_sees_labels_and_all_generated_samples() -> None:
    gan = make_unrolled(1, generator_batches=2)
    seen: list[tuple[int, Tensor | None]] = []
    features = gan.discriminator.features

    def watched(samples: Tensor, condition: Tensor | None = None) -> Tensor:
        seen.append((len(samples), condition))
        return features(samples)

    gan.discriminator.features = watched
    optimizer = torch.optim.SGD(gan.discriminator.parameters(), lr=0.1)
    gan.runner.optimizer = lambda player: optimizer  # type: ignore[method-assign]
    labels = torch.tensor([1, 2, 3, 0])
    outputs = [DiscriminatorOutputs(gan.discriminator, lambda n=n: Samples(torch.randn(n, 2), labels)) for n in (4, 8)]
    gan.generator_criterion(Step(gan.generator, *outputs, Noise(0, 4)))
    assert [size for size, _ in seen] == [4, 8, 4, 8] and all(given is labels for _, given in seen)


def test_unrolled_steps_run_without_half_precision() -> None:
    dtypes: set[torch.dtype] = set()
    gan = make_unrolled(2)
    train(gan, 1, precision="bf16-mixed")
    assert torch.isfinite(gan.generator.output.weight).all()
    gan.discriminator.layers[0].register_forward_hook(lambda module, inputs, output: dtypes.add(output.dtype))
    optimizer = torch.optim.SGD(gan.discriminator.parameters(), lr=0.1)
    gan.runner.optimizer = lambda player: optimizer  # type: ignore[method-assign]
    with torch.autocast("cpu", torch.bfloat16):
        gan.generator_loss(gan.generator_step({"image": torch.randn(4, 2)}, Noise(0, 4)))
    assert dtypes == {torch.float32}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("loss=non_saturating",), "NonSaturating is not minus the discriminator's; set loss=minimax or wasserstein"),
        (("loss=relativistic",), "zero-sum"),
        (("loss=least_squares",), "zero-sum"),
        (("loss=dual",), "loss=dual needs two discriminators"),
        (("regularizer=[top_k]",), "regularizer=top_k"),
        (("optimizer=rmsprop",), "RMSprop cannot be unrolled; set optimizer=adam or sgd"),
        (("+optimizer.discriminator.amsgrad=true",), r"optimizer\.discriminator\.amsgrad=false"),
        (("algorithm.unroll_steps=-1",), r"algorithm\.unroll_steps=-1 .* at least 0"),
        (("algorithm.unroll_steps=1.5",), r"algorithm\.unroll_steps=1\.5 .* whole number"),
    ],
)
def test_refusals(settings: tuple[str, ...], message: str, tiny) -> None:
    with pytest.raises(ConfigError, match=message) as refusal:
        build(tiny("model=unrolled_gan", *settings, "dataset.resolution=16"))
    assert str(refusal.value).endswith(".")


def test_a_loss_that_is_not_zero_sum_is_refused_in_python_too() -> None:
    with pytest.raises(ValueError, match="zero-sum"):
        make_unrolled(loss=NonSaturating())


def test_resumes_in_the_middle_of_an_epoch_bit_for_bit(tiny, tmp_path: Path) -> None:
    settings = (
        "model=unrolled_gan",
        "algorithm.unroll_steps=2",
        "dataset.resolution=16",
        "wrapper/discriminator=[spectral_norm]",
        *CHECKPOINTS,
    )
    uninterrupted = fit(tiny(*settings, "budget.images=160", f"run.dir={tmp_path}/uninterrupted"))
    fit(tiny(*settings, "budget.images=160", "callbacks.budget.images=56", f"run.dir={tmp_path}/first"))
    resumed = (f"run.dir={tmp_path}/second", f"resume={tmp_path}/first/checkpoints/last.ckpt")
    second = fit(tiny(*settings, "budget.images=160", *resumed))
    a, b = uninterrupted.module.state_dict(), second.module.state_dict()
    assert a.keys() == b.keys()
    assert all(torch.equal(value, b[key]) for key, value in a.items() if isinstance(value, Tensor))
    assert uninterrupted.module.images_seen == second.module.images_seen == 160
