"""BiGAN and ALI: an independent computation of its updates, closed forms, its players, encoders and reconstructions."""

import copy
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gan_lab
from gan_lab.architectures.encoding import Encoding
from gan_lab.architectures.joint import WithLatents
from gan_lab.architectures.mlp import MLPDiscriminator
from gan_lab.config.build import build
from gan_lab.errors import ConfigError
from gan_lab.gans.bigan import BiGAN
from gan_lab.gans.conditions import Codes, Labels
from gan_lab.gans.gan import GAN
from gan_lab.losses.adversarial import Hinge, LeastSquares, NonSaturating, Relativistic, Wasserstein
from gan_lab.noise import Noise
from gan_lab.optim.ema import Averaging
from gan_lab.regularizers.selection import TopK
from gan_lab.training.fit import fit
from tests.conftest import TINY
from tests.helpers.player_updates import (
    Encoder,
    assert_micro_batches_make_no_difference,
    changes_per_update,
    make_parts,
)
from tests.helpers.points_gan import Discriminator, Generator, Points, changed_keys, latents_of, state, train

BATCH = {"image": Points(8).points}
NOISE = Noise(1, 8)


def make_bigan(norm: bool = False, encoder: nn.Module | None = None, **settings) -> BiGAN:
    torch.manual_seed(0)
    inside = MLPDiscriminator(2 + 3, None, 8, "batch" if norm else "none")
    networks = Generator(norm), WithLatents(3)(inside), encoder or Encoder(norm)
    return BiGAN(*networks, make_parts(**settings))


def stochastic_encoder() -> nn.Module:
    torch.manual_seed(0)
    return Encoding(3, noise="output")(MLPDiscriminator(2, None, 8))


def test_one_batch_by_hand() -> None:
    """D: (x, E(x)) high, (G(z), z) low; then G and E together: the same with exchanged labels."""
    gan = make_bigan()
    x = Points(4).points
    g, d, e = (copy.deepcopy(n) for n in (gan.generator, gan.discriminator.network, gan.encoder))
    train(gan, 1, size=4)

    def loss(z: Tensor, sign: int) -> Tensor:
        real, fake = d(torch.cat([x, e(x)], 1)), d(torch.cat([g(z), z], 1))
        return F.softplus(-sign * real).mean() + F.softplus(sign * fake).mean()

    def descend(value: Tensor, *networks: nn.Module) -> None:
        parameters = [p for network in networks for p in network.parameters()]
        slopes = torch.autograd.grad(value, parameters)
        with torch.no_grad():
            for parameter, slope in zip(parameters, slopes, strict=True):
                parameter -= 0.1 * slope

    descend(loss(latents_of("discriminator"), 1), d)
    descend(loss(latents_of("generator"), -1), g, e)
    for ours, theirs in ((gan.generator, g), (gan.discriminator.network, d), (gan.encoder, e)):
        for key, value in state(ours).items():
            torch.testing.assert_close(value, theirs.state_dict()[key], atol=1e-6, rtol=0)


@pytest.mark.parametrize("loss", [NonSaturating(), Hinge(), Wasserstein(), LeastSquares(), Relativistic()])
def test_generator_and_encoder_minimize_the_loss_with_exchanged_labels(loss) -> None:
    gan = make_bigan(loss=loss, generator_batches=2)
    step = gan.generator_step(BATCH, NOISE)
    assert step.fake.logits.shape == (16,)
    expected = loss.discriminator(step.fake.logits, torch.cat([step.real.logits] * 2))
    torch.testing.assert_close(gan.generator_loss(step)["adversarial"], expected)


def test_exchanged_roles_change_no_loss() -> None:
    """With -C for C and generated for real samples, no loss changes."""
    gan = make_bigan()
    step = gan.generator_step(BATCH, NOISE)
    real, fake = step.real.logits, step.fake.logits
    torch.testing.assert_close(gan.discriminator_criterion(-fake, -real), gan.discriminator_criterion(real, fake))
    torch.testing.assert_close(gan.discriminator_criterion(fake, real), gan.generator_criterion(step))


def test_a_discriminator_that_ignores_latents_trains_a_plain_gan() -> None:
    """Its generator is that of the plain GAN, and the encoder is not trained."""
    torch.manual_seed(0)
    gan = GAN(Generator(), Discriminator(), make_parts())
    blind = copy.deepcopy(gan.discriminator)
    blind.join = lambda samples, latents: samples
    bigan = BiGAN(copy.deepcopy(gan.generator), blind, Encoder(), make_parts())
    before = state(bigan.encoder)
    train(gan, 3)
    train(bigan, 3)
    for name in ("generator", "discriminator"):
        for key, value in state(getattr(gan, name)).items():
            torch.testing.assert_close(getattr(bigan, name).state_dict()[key], value)
    assert not changed_keys(before, state(bigan.encoder))


class Linear(nn.Module):
    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return x @ self.matrix.T


@pytest.mark.parametrize(("scale", "is_optimum"), [(1.0, True), (2.0, False)])
def test_the_inverse_of_the_generator_is_the_optimum(scale: float, is_optimum: bool) -> None:
    """If E inverts a linear G, and the data are of G, both pairs have one law: C = 0 is optimal, with loss 2 ln 2."""
    matrix = torch.tensor([[1.0, 0.5], [-0.3, 2.0]])
    torch.manual_seed(0)
    joint = WithLatents(2)(MLPDiscriminator(4, None, 8))
    nn.init.zeros_(joint.network.output.weight)
    nn.init.zeros_(joint.network.output.bias)
    gan = BiGAN(Linear(matrix), joint, Linear(scale * matrix.inverse()), make_parts(latent_dim=2))
    count = 50_000
    x = torch.randn(count, 2, generator=torch.Generator().manual_seed(7)) @ matrix.T
    loss = gan.discriminator_loss(gan.discriminator_step({"image": x}, Noise(0, count)))["adversarial"]
    assert loss.item() == pytest.approx(2 * math.log(2))
    slopes = torch.autograd.grad(loss, [joint.network.output.weight, joint.network.output.bias])
    assert (max(slope.abs().max() for slope in slopes) < 0.02) == is_optimum


@pytest.mark.parametrize("norm", [False, True])
def test_generator_and_encoder_are_one_player(norm: bool) -> None:
    gan = make_bigan(norm)
    updates = changes_per_update(gan, 2)
    assert [player for player, _ in updates] == ["discriminator", "generator"] * 2
    for player, changed in updates:
        assert not changed["generator" if player == "discriminator" else "discriminator"]
    of_both = updates[1][1]["generator"]
    assert {key.split(".")[0] for key in of_both} == {"generator", "encoder"}
    parameters = {key for key, _ in gan.runner.players["generator"].network.named_parameters()}
    assert all(key.endswith("bias") for key in parameters - of_both)  # batch norm cancels biases


@pytest.mark.parametrize("encoder", [None, stochastic_encoder()])
def test_micro_batches(encoder: nn.Module | None) -> None:
    assert_micro_batches_make_no_difference(lambda **settings: make_bigan(encoder=copy.deepcopy(encoder), **settings))


def test_a_stochastic_encoder_samples_in_training_and_gives_the_mean_afterwards() -> None:
    gan = make_bigan(encoder=stochastic_encoder())
    x = BATCH["image"]
    output = gan.encoder.network.output(gan.encoder.features(x))
    mean, log_std = output[:, :3], output[:, 3:]
    step = gan.generator_step(BATCH, NOISE)
    torch.testing.assert_close(step.real.latents, mean + log_std.exp() * NOISE.child("encoder").normal(3))
    torch.testing.assert_close(gan.inference(average=False).encode(x), mean)


def test_the_encoder_is_averaged() -> None:
    gan = make_bigan(averaging=Averaging(half_life_images=8, rampup=None))
    start = state(gan.encoder)
    train(gan, 1, size=4)
    weight = 0.5 ** (4 / 8)
    for key, value in state(gan.averaged["encoder"]).items():
        torch.testing.assert_close(value, weight * start[key] + (1 - weight) * gan.encoder.state_dict()[key])


def test_wrong_parts() -> None:
    with pytest.raises(ValueError, match=r"needs wrapper\.discriminator\.joint"):
        BiGAN(Generator(), Discriminator(), Encoder(), make_parts())
    with pytest.raises(ValueError, match="regularizer=top_k drops samples"):
        make_bigan(selection=TopK(0.5, 1.0))


@pytest.fixture(scope="module")
def labeled_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class-conditional BiGAN with DiffAugment and R1, and with figures."""
    from gan_lab.config.compose import compose

    folder = tmp_path_factory.mktemp("bigan") / "run"
    more = ("conditioning=projection", "augment=diffaugment", "regularizer=[r1]", "budget.images=24", "seed=3",
            "architecture.discriminator.norm=none", "dataset.resolution=8", "callbacks.sample_grids.count=6",
            "metrics=[encoder]", "evaluation.samples=20", "evaluation.real_images=30", f"run.dir={folder}",
            "+callbacks.checkpoints._target_=gan_lab.callbacks.checkpoints.Checkpoints",
            "+callbacks.checkpoints.folder=${run.dir}/checkpoints", "evaluation.times=1",
            "+callbacks.checkpoints.config_file=${run.dir}/config.yaml",
            "+callbacks.checkpoints.budget_images=${budget.images}")  # fmt: skip
    silent = [text for text in TINY if text != "~callbacks.sample_grids"]
    fit(compose(*silent, "model=bigan", "batch_size=8", *more))
    return folder


def test_a_loaded_run_encodes_and_reconstructs(labeled_run: Path) -> None:
    loaded = gan_lab.load(labeled_run, device="cpu")
    images, labels = loaded.sample(3, seed=1), torch.tensor([1, 2, 3])
    latents = loaded.encode(images, labels)
    assert latents.shape == (3, 50) and latents.dtype == torch.float32
    torch.testing.assert_close(loaded.reconstruct(images, labels), loaded.generate(latents, labels))
    assert not torch.equal(gan_lab.load(labeled_run, "raw", "cpu").encode(images, labels), latents)
    for wrong, text in (((images, None), "needs the label"), ((images[:, :, :4], labels), "cannot take these samples")):
        with pytest.raises(ConfigError, match=text):
            loaded.encode(*wrong)


def test_figures_and_metrics_of_the_encoder(labeled_run: Path) -> None:
    from PIL import Image

    found = sorted((labeled_run / "samples").glob("reconstructions_*.png"))
    assert len(found) >= 2 and Image.open(found[-1]).width > 0
    rows = (labeled_run / "evaluations.csv").read_text()
    for key in (
        "one_nn_latents_20",
        "one_nn_features_20",
        "reconstruction_real_20",
        "reconstruction_generated_random_20",
    ):
        assert key in rows, key


def test_metrics_of_an_encoder_need_one(tiny) -> None:
    with pytest.raises(ConfigError, match=r"^evaluation\.metrics\.one_nn measures an encoder of images"):
        fit(tiny("model=dcgan", "metrics=[encoder]", "budget.images=8", "dataset.resolution=8"))


def test_codes_have_no_reconstructions() -> None:
    """Real samples have no codes, and the generator needs some."""
    assert make_bigan(condition=Codes([2], 0)).inference() is None
    assert make_bigan(condition=Labels(3)).inference() is not None


def test_ali_trains(tiny) -> None:
    cfg = tiny("model=bigan", "preset=ali", "dataset.resolution=32", "batch_size=8", "budget.images=16")
    before = {key: value.clone() for key, value in build(cfg).module.named_parameters()}
    module = fit(cfg).module
    assert all(not torch.equal(value, before[key]) for key, value in module.named_parameters())
    assert module.inference().encode(torch.zeros(2, 1, 32, 32)).shape == (2, 64)
