"""MGAN and MAD-GAN: what each player minimizes, grids and samples by generator, refusals."""

from pathlib import Path

import numpy
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import gan_lab
from gan_lab.commands.sample import sample
from gan_lab.config.build import build
from gan_lab.config.compose import compose
from gan_lab.errors import ConfigError
from gan_lab.gans.conditions import GeneratorNumbers
from gan_lab.noise import Noise
from gan_lab.training.fit import fit
from tests.conftest import SMALL
from tests.helpers.player_updates import assert_each_updates_only_itself

POINTS = ("dataset=ring", "architecture=mlp", "latent.dim=4", "budget.images=32")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three generators of digits."""
    folder = tmp_path_factory.mktemp("mgan") / "run"
    small = ("dataset.resolution=8", "conditioning.generators=3", "callbacks.sample_grids.count=12")
    fit(compose(*SMALL, "model=mgan", *small, f"run.dir={folder}"))
    return folder


def test_settings_of_the_paper(tiny) -> None:
    mgan, madgan = (build(tiny(f"model={model}", "dataset.resolution=16")).module for model in ("mgan", "madgan"))
    assert mgan.condition == GeneratorNumbers(10) and madgan.condition == GeneratorNumbers(4)
    weights = {player: [p.weight for p in mgan.penalties.of(player).values()] for player in mgan.networks}
    assert weights == {"discriminator": [1.0], "generator": [0.01]}
    assert [p.weight for p in madgan.penalties.of("discriminator").values()] == [4]
    assert not madgan.penalties.of("generator") and madgan.parts.loss.generators == 4


def terms(module, player: str) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Real samples, the weighted terms of a player, and the generated samples with their numbers."""
    batch = {"image": torch.randn(12, 2, generator=torch.Generator().manual_seed(0))}
    phase = next(phase for phase in module.phases() if phase.player == player)
    step = phase.step(batch, Noise(1, 12))
    found = phase.loss(step) | {k: p.weight * p(step) for k, p in module.penalties.of(player).items()}
    return step, found, batch["image"]


def test_losses_of_mgan(tiny) -> None:
    settings = ("model=mgan", *POINTS, "conditioning.generators=3", "regularizer.diversity_generator.weight=0.125")
    module = build(tiny(*settings)).module
    step, found, real = terms(module, "discriminator")
    d, x, k = module.discriminator, step.fake.samples, step.fake.condition
    expected = F.softplus(-d(real)).mean() + F.softplus(d(x)).mean() + F.cross_entropy(d.auxiliary(d.features(x)), k)
    torch.testing.assert_close(sum(found.values()), expected)
    assert torch.bincount(k, minlength=3).tolist() == [4, 4, 4]
    step, found, _ = terms(module, "generator")
    x, k = step.fake.samples, step.fake.condition
    expected = F.softplus(-d(x)).mean() + 0.125 * F.cross_entropy(d.auxiliary(d.features(x)), k)
    torch.testing.assert_close(sum(found.values()), expected)


def test_losses_of_madgan(tiny) -> None:
    """Cross entropies of K + 1 classes; those of generated samples are summed over the generators."""
    module = build(tiny("model=madgan", *POINTS, "conditioning.generators=3")).module
    d = module.discriminator

    def classes(samples: Tensor) -> Tensor:
        features = d.features(samples)
        return torch.cat([d.network.head(features)[:, None], d.auxiliary(features)], 1)

    step, found, real = terms(module, "discriminator")
    x, k = step.fake.samples, step.fake.condition
    expected = F.cross_entropy(classes(real), torch.zeros_like(k))
    for i in range(3):
        expected = expected + F.cross_entropy(classes(x[k == i]), k[k == i] + 1)
    torch.testing.assert_close(sum(found.values()), expected)
    step, found, _ = terms(module, "generator")
    x = step.fake.samples
    torch.testing.assert_close(sum(found.values()), F.cross_entropy(classes(x), torch.zeros(12, dtype=torch.int64)))


def test_without_diversity_only_the_discriminator_learns_the_numbers(tiny) -> None:
    module = build(tiny("model=mgan", *POINTS, "regularizer.diversity_generator.weight=0")).module
    _, found, _ = terms(module, "generator")
    assert all(slope.abs().max() == 0 for slope in torch.autograd.grad(
        found["diversity_generator"], list(module.generator.parameters()), allow_unused=True
    ) if slope is not None)  # fmt: skip
    _, found, _ = terms(module, "discriminator")
    (slope,) = torch.autograd.grad(found["diversity_discriminator"], module.discriminator.classifier.weight)
    assert slope.abs().max() > 0


def test_one_generator_is_always_recognized(tiny) -> None:
    """With K = 1 the cross entropy is 0, and MAD-GAN's loss the non-saturating one."""
    for model in ("mgan", "madgan"):
        module = build(tiny(f"model={model}", *POINTS, "conditioning.generators=1")).module
        _, found, _ = terms(module, "discriminator")
        assert found.pop(next(name for name in found if name != "adversarial")).item() == 0
    assert module.boundary == 0


@pytest.mark.parametrize("model", ["mgan", "madgan"])
def test_each_player_updates_only_itself(model: str, tiny) -> None:
    module = build(tiny(f"model={model}", *POINTS, "conditioning.generators=2")).module
    assert_each_updates_only_itself(module, ["discriminator", "generator"])


def test_grids_have_a_row_for_each_generator(run: Path) -> None:
    """Of the same latents, with the number beside it; real samples have no generator."""
    real = Image.open(run / "samples/real.png")
    grid = Image.open(run / "samples/final.png")
    assert grid.height == real.height and grid.width > real.width + 20  # 3 rows of 4, with names


def test_samples_by_generator(run: Path, tmp_path: Path) -> None:
    loaded = gan_lab.load(run)
    by_number = [loaded.sample(4, seed=3, condition=k) for k in range(3)]
    assert not torch.allclose(by_number[0], by_number[1], atol=1e-4)
    mixture = loaded.sample(6, seed=3)
    assert torch.equal(mixture, loaded.sample(6, seed=3)) and mixture.shape == (6, 1, 8, 8)
    files = sample(compose(f"run={run}", "count=4", "seed=3", "generator=1", "device=cpu", command="sample"))
    assert files.folder.name == "seed_3_generator_1" and torch.equal(files.samples, by_number[1])
    every = sample(compose(f"run={run}", "count=12", "generator=all", "device=cpu", command="sample"))
    width, height = Image.open(every.grid).size
    assert width > 1.4 * height  # three named rows of four
    for asked, sentence in (
        ("generator=3", "generator=3 is not allowed: numbers are whole numbers from 0 to 2"),
        ("generator=first", "generator=first is not allowed: it must be a number, a list of them, all, or null"),
        ("labels=cat", "labels=cat needs a run with conditioning"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            sample(compose(f"run={run}", asked, "device=cpu", command="sample"))


def test_points_have_the_color_of_their_generator(tmp_path: Path) -> None:
    small = ("conditioning.generators=2", "callbacks.sample_grids.points=200", f"run.dir={tmp_path}/run")
    settings = [setting for setting in SMALL if "width" not in setting]
    fit(compose(*settings, "model=mgan", *POINTS, *small))
    pixels = numpy.asarray(Image.open(tmp_path / "run/samples/final.png")).astype(int)
    assert (pixels[..., 0] > pixels[..., 2] + 50).any() and (pixels[..., 2] > pixels[..., 0] + 50).any()
    assert list((tmp_path / "run/samples").glob("field_*.png"))  # the discriminator takes no number


def test_refusals(tiny) -> None:
    with pytest.raises(ConfigError, match=r"conditioning\.generators=0 is not allowed: it must be at least 1\."):
        build(tiny("model=mgan", *POINTS, "conditioning.generators=0"))
    with pytest.raises(ConfigError, match="statistics over all samples, and the batch norm of an own first layer"):
        build(tiny("model=mgan", "wrapper/generator=[synchronized_batch_norm]"))
