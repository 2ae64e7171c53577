"""LAPGAN: independent levels, an update by hand, labels, figures, levels that a resumed run adds, refusals."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from gan_lab.architectures.lapgan import LaplacianDiscriminator, LaplacianGenerator
from gan_lab.augment.pipelines import Adaptive, DiffAugment
from gan_lab.config.build import build
from gan_lab.errors import ConfigError
from gan_lab.gans.conditions import Labels
from gan_lab.gans.lapgan import LAPGAN
from gan_lab.losses.dual import Dual
from gan_lab.noise import Noise
from gan_lab.optim.ema import Averaging
from gan_lab.regularizers.path_length import PathLength
from gan_lab.regularizers.penalties import R1, Consistency, GradientPenalty
from gan_lab.training.fit import fit
from tests.gans.test_every_model import CHECKPOINTS
from tests.helpers.player_updates import make_parts
from tests.helpers.points_gan import UpdateWatch, noise_of, state

RESOLUTIONS = (8, 4, 2)
LATENTS = {0: 64, 1: 16, 2: 3}
IMAGES = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(4)) * 2 - 1


def make_lapgan(
    levels: list[int] | None = None, condition: str = "sum", classes: int | None = None, **settings
) -> LAPGAN:
    torch.manual_seed(0)
    networks: Any = {"resolutions": RESOLUTIONS[::-1], "hidden": 5, "num_classes": classes}
    generator = LaplacianGenerator(83, 1, 8, 3, **networks)
    discriminator = LaplacianDiscriminator(1, 8, 3, condition=condition, dropout=0, coarsest_init_scale=0.5, **networks)
    settings.setdefault("averaging", Averaging(half_life_images=8))
    parts = make_parts(latent_dim=83, condition=Labels(classes), **settings)
    return LAPGAN(generator, discriminator, parts, levels)


def train(gan: LAPGAN, batches: int = 3, images: Tensor = IMAGES, **options) -> None:
    """Train on batches of four images; the label of an image is its number modulo 2."""
    trainer = Trainer(
        accelerator="cpu", max_steps=batches, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, **options,
    )  # fmt: skip
    data = [{"image": image, "label": torch.tensor(k % 2)} for k, image in enumerate(images)]
    trainer.fit(gan, DataLoader(data, batch_size=4))  # type: ignore[arg-type]


def level_states(gan: LAPGAN) -> dict[str, dict[str, Tensor]]:
    """Parameters of every player, and of the average of every level's generator."""
    averaged = {f"average_{k}": state(level) for k, level in enumerate(gan.averaged["generator"].levels)}
    return {name: state(player.network) for name, player in gan.runner.players.items()} | averaged


def test_each_player_updates_only_itself() -> None:
    gan = make_lapgan(penalties={"r1": R1(weight=1.0)})
    watch = UpdateWatch(lambda: level_states(gan))
    train(gan, 2, profiler=watch)
    players = [f"{kind}_{level}" for level in range(3) for kind in ("discriminator", "generator")]
    assert [player for player, _, _ in watch.updates] == 2 * players == 2 * list(gan.runner.players)
    for player, before, after in watch.updates:
        changed = {
            name for name in before if any(not torch.equal(before[name][k], after[name][k]) for k in before[name])
        }
        assert changed == {player}


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_freezing_a_level_leaves_the_others_bitwise_unchanged(frozen: int) -> None:
    complete, part = make_lapgan(), make_lapgan([level for level in range(3) if level != frozen])
    start = level_states(complete)
    train(complete), train(part)
    for name, expected in level_states(complete).items():
        is_frozen = name.endswith(str(frozen))
        found, changed = level_states(part)[name], any(not torch.equal(expected[k], start[name][k]) for k in expected)
        assert changed
        for key in expected:
            assert torch.equal(found[key], (start if is_frozen else level_states(complete))[name][key]), name


@pytest.mark.parametrize("condition", ["sum", "concat"])
def test_one_batch_by_hand(condition: str) -> None:
    """D_k: l + h high, l + G(z, l) low; then G_k, on two noises for each coarse image. Plain gradient steps."""
    gan = make_lapgan(condition=condition, generator_batches=2)
    chain, discriminator = copy.deepcopy(gan.generator), copy.deepcopy(gan.discriminator)
    pyramid = chain.pyramid
    reals = pyramid.images(IMAGES[:4])
    train(gan, 1)
    for level in range(3):
        coarse = pyramid.enlarged(reals[level + 1], level) if level < 2 else None
        g, d = chain.levels[level], discriminator.levels[level]

        def made(noise: Noise, level: int = level, g: Any = g, coarse: Tensor | None = coarse) -> Tensor:
            z = noise.child("latents").normal(83).split([3, 16, 64], 1)[2 - level]
            return g(z, coarse) if coarse is None else coarse + g(z, coarse)

        def score(images: Tensor, d: Any = d, coarse: Tensor | None = coarse) -> Tensor:
            if coarse is None or condition == "sum":
                return d(images)
            return d(torch.cat([images - coarse, coarse], 1))

        noise = noise_of(f"discriminator_{level}")
        real, fake = score(reals[level]), score(made(noise).detach())
        step(d, F.softplus(-real).mean() + F.softplus(fake).mean())
        noise = noise_of(f"generator_{level}")
        step(g, F.softplus(-torch.cat([score(made(noise)), score(made(noise.for_batch(1)))])).mean())
        for ours, theirs in ((gan.generator.levels[level], g), (gan.discriminator.levels[level], d)):
            for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
                torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def step(network: torch.nn.Module, value: Tensor, lr: float = 0.1) -> None:
    slopes = torch.autograd.grad(value, list(network.parameters()))
    with torch.no_grad():
        for parameter, slope in zip(network.parameters(), slopes, strict=True):
            parameter -= lr * slope


def test_generated_images_have_the_label_of_their_coarse_image() -> None:
    gan = make_lapgan(classes=2)
    train(gan, 1)
    batch = gan.prepare({"image": IMAGES, "label": torch.arange(8) % 2})
    for level in range(2):
        assert torch.equal(gan.generated_at(level, Noise(1, 8), batch, 1).condition, batch["label"])
    several = [gan.generated_at(2, Noise(seed, 8), batch, 1).condition.tolist() for seed in range(3)]
    assert len({tuple(labels) for labels in several}) == 3  # at the coarsest level from the prior


def test_micro_batches_make_no_difference() -> None:
    gans = [make_lapgan(accumulate=accumulate, penalties={"r1": R1(weight=1.0)}) for accumulate in (1, 2)]
    for gan in gans:
        train(gan, 2)
    for (name, a), (_, b) in zip(*(gan.state_dict().items() for gan in gans), strict=True):
        if isinstance(a, Tensor):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5, msg=name)


def test_a_gradient_penalty_keeps_the_coarse_image() -> None:
    """The points between real and generated images have the coarse image of both: the input differs in h alone."""
    gan = make_lapgan(condition="concat", penalties={"gradient_penalty": GradientPenalty()})
    seen: list[Tensor] = []
    features = gan.discriminator.levels[0].features
    gan.discriminator.levels[0].features = lambda x, labels=None: (seen.append(x), features(x, labels))[1]  # type: ignore
    train(gan, 1)
    for real, fake, between in [seen[:3]]:
        assert torch.equal(real[:, 1], fake[:, 1])
        torch.testing.assert_close(between[:, 1], real[:, 1])
        assert not torch.equal(between[:, 0], real[:, 0])


def test_a_resumed_run_adds_levels(tiny, tmp_path: Path) -> None:
    """In another folder, as for every change of an algorithm; the levels of the first run continue."""
    some = ("model=lapgan", "dataset.resolution=16", *CHECKPOINTS, "architecture.generator.hidden=8")
    first = fit(tiny(*some, "algorithm.levels=[0]", "budget.images=16", f"run.dir={tmp_path}/first")).module
    before = state(first.generator.levels[1])
    again = (*some, f"resume={tmp_path}/first/checkpoints/last.ckpt", "budget.images=32")
    second = fit(tiny(*again, "algorithm.levels=null", "allow_changes=true", f"run.dir={tmp_path}/second")).module
    uninterrupted = fit(tiny(*some, "algorithm.levels=[0]", "budget.images=32", f"run.dir={tmp_path}/third")).module
    assert all(not torch.equal(value, before[key]) for key, value in second.generator.levels[1].state_dict().items())
    for key, value in uninterrupted.generator.levels[0].state_dict().items():
        assert torch.equal(second.generator.levels[0].state_dict()[key], value)


def test_figures_are_written(tiny, tmp_path: Path) -> None:
    grids = (
        "+callbacks.sample_grids._target_=gan_lab.callbacks.sample_grids.SampleGrids",
        "+callbacks.sample_grids.folder=${run.dir}/samples", "+callbacks.sample_grids.budget_images=${budget.images}",
        "+callbacks.sample_grids.every_images=100", "+callbacks.sample_grids.count=4",
    )  # fmt: skip
    fit(tiny("model=lapgan", "dataset.resolution=16", "conditioning=mapping", "budget.images=8", *grids))
    names = {file.stem for file in (tmp_path / "run" / "samples").glob("*_0000000008.png")}
    assert names == {"ema_0000000008", "raw_0000000008", "levels_0000000008", "chain_0000000008"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"levels": [3]}, r"algorithm.levels=\[3\] is not allowed.*from 0, the image, to 2, the coarsest"),
        ({"levels": []}, r"algorithm.levels=\[\] is not allowed"),
        ({"levels": 0}, "algorithm.levels=0 is not allowed"),
        ({"loss": Dual()}, "set model=d2gan"),
        ({"augment": Adaptive(1, 8, 4)}, "augment=ada adapts to one discriminator"),
        ({"augment": DiffAugment(1, 8), "condition": "concat"}, r"augment changes images.*condition=sum"),
        ({"penalties": {"path": PathLength()}}, "regularizer=path needs samples"),
        ({"penalties": {"cr": Consistency(DiffAugment(1, 8))}, "condition": "concat"},
         r"regularizer=cr changes images.*condition=sum"),
        ({"penalties": {"r1": R1(player="discriminator_0")}}, "is not a player"),
    ],
)  # fmt: skip
def test_parts_that_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make_lapgan(**options)


MODEL = ("model=lapgan", "dataset.resolution=16")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("architecture.generator.resolutions=[4,8]",), r"resolutions=\[4, 8\] must end at the resolution"),
        (("architecture.generator.resolutions=16",), "must be a list"),
        (("architecture.discriminator.resolutions=[4,16]",), "give both the same resolutions"),
        (("latent.dim=100",), "latent.dim=100 is too small"),
        (("dataset=ring", "dataset.resolution=null"), "the data are points; choose another model"),
        (("architecture=dcgan",), "trains the levels of a pyramid, which DCGANGenerator does not have"),
        (("conditioning=codes",), "conditioning=none or mapping"),
        (("wrapper/discriminator=[minibatch_stddev]",), "remove wrapper/discriminator"),
        (("regularizer=[r1]", "architecture.discriminator.norm=batch"), "mixes the samples"),
        (("freeze_discriminator=1",), "freeze_discriminator=0"),
    ],
)  # fmt: skip
def test_what_is_refused(overrides: tuple[str, ...], sentence: str, tiny) -> None:
    with pytest.raises(ConfigError, match=sentence):
        build(tiny(*MODEL, *overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        ("loss=relativistic", "regularizer=[lecam,weight_clip,top_k,feature_matching]", "augment=diffaugment"),
        ("conditioning=mapping", "wrapper/discriminator=[spectral_norm]", "wrapper/generator=[spectral_norm]",
         "regularizer=[gradient_penalty,consistency]"),
        ("architecture.discriminator.condition=concat", "regularizer=[r1_lazy,r2]", "loss=hinge", "n_critic=2",
         "architecture.generator.norm=batch"),
    ],
)  # fmt: skip
def test_parts_work_at_every_level(overrides: tuple[str, ...], tiny) -> None:
    module = fit(tiny(*MODEL, "architecture.generator.hidden=8", "budget.images=24", *overrides)).module
    assert all(torch.isfinite(value).all() for value in module.parameters())
    players = {key.split("/")[0] for key in module.state_dict() if key.startswith("penalties.")}
    assert not players & {"penalties.discriminator", "penalties.generator"}
    latents, labels = module.sample_inputs(4, 0)
    assert module.score(module.generate(latents, labels), labels).shape == (4,)
