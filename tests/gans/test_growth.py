"""Growing during a run: inputs of the players, reset of optimizers, and resuming inside a fade."""

from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch

import gan_lab
from gan_lab.config.build import build, build_network, build_parts, instantiate
from gan_lab.config.compose import compose
from gan_lab.errors import ConfigError
from gan_lab.layers.growing import at_stage, growing_networks
from gan_lab.sampling.pretrained import load
from gan_lab.training.fit import fit
from gan_lab.types import Stage
from tests.gans.test_every_model import CHECKPOINTS

GROWTH = ("model=pggan", "growth=celebahq", "growth.hold_images=24", "growth.fade_images=32", "dataset.resolution=16")
"""With batches of 8: 4 pixels up to 24 images, 8 faded in up to 56 and held up to 80, 16 faded in up to 112."""
STAGES = [
    Stage(4), Stage(4), Stage(4),
    Stage(8, 0.0), Stage(8, 0.25), Stage(8, 0.5), Stage(8, 0.75), Stage(8), Stage(8), Stage(8),
    Stage(16, 0.0), Stage(16, 0.25), Stage(16, 0.5), Stage(16, 0.75), Stage(16), Stage(16),
]  # fmt: skip


def watched(cfg: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Train, and record for each batch the images, the inputs of the players and the discriminator's optimizer."""
    experiment = build(cfg)
    module, data, recorded = experiment.module, experiment.data, []
    arrive = data.on_after_batch_transfer

    def arriving(batch, index):
        batch = arrive(batch, index)
        recorded.append({"raw": batch["image"].clone()})
        return batch

    def running(batch, *rest):
        state = module.runner.optimizer("discriminator").state
        steps = max((int(entry["step"]) for entry in state.values()), default=0)
        recorded[-1] |= {"real": batch["image"], "steps": steps, "stages": [p.stage for p in growing_networks(module)]}
        result = run(batch, *rest)
        recorded[-1]["lr"] = module.runner.optimizer("discriminator").param_groups[0]["lr"]
        return result

    def generating(network, inputs, samples):
        recorded[-1].setdefault("fake", samples.detach())  # the discriminator's come first

    module.generator.register_forward_hook(generating)
    data.on_after_batch_transfer = arriving
    run = module.runner.run
    module.runner.run = running
    experiment.trainer.fit(module, datamodule=data)
    return module, recorded


def test_players_see_the_current_stage(tiny) -> None:
    module, recorded = watched(tiny(*GROWTH, "budget.images=128"))
    for stage, batch in zip(STAGES, recorded, strict=True):
        assert batch["stages"] == [stage] * 3  # generator, its average and discriminator
        assert torch.equal(batch["real"], at_stage(batch["raw"], stage))
        assert batch["fake"].shape == batch["real"].shape == (8, 1, stage.resolution, stage.resolution)
    assert module.generator.stage == module.averaged["generator"].stage == module.discriminator.stage == Stage(16)


def test_a_new_run_starts_at_its_first_stage(tiny) -> None:
    module = build(tiny(*GROWTH, "budget.images=128")).module
    assert module.progress() == {"resolution": 4, "alpha": 1.0}
    module.train()
    assert module.generator(module.sample_inputs(2, 0)[0]).shape == (2, 1, 4, 4)
    assert module.generate(module.sample_inputs(2, 0)[0]).shape == (2, 1, 16, 16)  # outside training


def test_optimizers_are_reset_at_every_resolution_or_never(tiny) -> None:
    """Step counts of a parameter in the discriminator's Adam, before each batch."""
    _, recorded = watched(tiny(*GROWTH, "budget.images=128"))
    assert [batch["steps"] for batch in recorded] == [0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5]
    _, recorded = watched(tiny(*GROWTH, "growth.reset_optimizers=false", "budget.images=128"))
    assert [batch["steps"] for batch in recorded] == list(range(16))


def test_the_learning_rate_follows_the_resolution(tiny) -> None:
    _, recorded = watched(tiny(*GROWTH, "+growth.lr_factors={8:2.0,16:0.5}", "lr=1e-2", "budget.images=128"))
    expected = [{4: 1e-2, 8: 2e-2, 16: 5e-3}[stage.resolution] for stage in STAGES]
    assert [batch["lr"] for batch in recorded] == pytest.approx(expected)


def test_new_layers_keep_their_initial_weights_until_their_stage(tiny) -> None:
    cfg = tiny(*GROWTH, "budget.images=80")  # ends before 16 pixels
    before = {name: value.clone() for name, value in build(cfg).module.named_parameters()}
    module = fit(cfg).module
    changed = {name for name, value in module.named_parameters() if not torch.equal(value, before[name])}
    later = {name for name in before if ".to_image.2." in name or ".from_image.2." in name}
    later |= {name for name in before if name.startswith(("generator.blocks.2.", "averaged.generator.blocks.2."))}
    later |= {name for name in before if name.startswith("discriminator.blocks.1.")}
    assert len(later) == 18 and changed == before.keys() - later


@pytest.mark.parametrize("stop", [24, 48, 56, 80, 96])
def test_a_resumed_run_equals_the_uninterrupted_one(stop: int, tiny, tmp_path: Path) -> None:
    """At the end of a hold, inside a fade, at its end, and inside the next; bit for bit."""
    settings = (*GROWTH, "+growth.lr_factors={8:2.0}", "budget.images=128", *CHECKPOINTS)
    uninterrupted = fit(tiny(*settings, f"run.dir={tmp_path}/uninterrupted"))
    fit(tiny(*settings, f"callbacks.budget.images={stop}", f"run.dir={tmp_path}/first"))
    saved = STAGES[stop // 8 - 1]
    assert load(tmp_path / "first", device="cpu").generator.stage == saved
    module, recorded = watched_resume(tiny(*settings, f"run.dir={tmp_path}/second"), tmp_path / "first")
    assert recorded == STAGES[stop // 8 :]
    a, b = uninterrupted.module.state_dict(), module.state_dict()
    assert a.keys() == b.keys()
    assert all(torch.equal(x, b[key]) if isinstance(x, torch.Tensor) else x == b[key] for key, x in a.items())
    for ours, theirs in zip(uninterrupted.trainer.optimizers, module.optimizers(), strict=True):
        for x, y in zip(ours.state_dict()["state"].values(), theirs.state_dict()["state"].values(), strict=True):
            assert all(torch.equal(x[key], y[key]) for key in x)


def watched_resume(cfg: Any, folder: Path) -> tuple[Any, list[Stage]]:
    """Resume from a run's last checkpoint, and record the stage of each batch."""
    experiment = build(cfg)
    module, stages = experiment.module, []
    play = module.runner.run

    def playing(*arguments):
        stages.append(module.generator.stage)
        return play(*arguments)

    module.runner.run = playing
    checkpoint = folder / "checkpoints" / "last.ckpt"
    experiment.trainer.fit(module, datamodule=experiment.data, ckpt_path=checkpoint, weights_only=True)
    return module, stages


def test_a_checkpoint_in_a_fade_generates_the_samples_of_the_run(tiny, tmp_path: Path) -> None:
    module = fit(tiny(*GROWTH, "budget.images=48", *CHECKPOINTS)).module
    assert module.averaged["generator"].stage == Stage(8, 0.5)
    images = gan_lab.load(tmp_path / "run").sample(3, seed=1)
    latents = module.latent.sample(gan_lab.noise.Noise(gan_lab.noise.mix(1), 3))
    assert torch.allclose(images, module.generate(latents).cpu(), atol=1e-6)
    assert images.shape == (3, 1, 16, 16) and images.abs().max() <= 1
    corners = images[:, :, ::2, ::2]  # 8x8 pixels, each shown as 2x2
    assert torch.equal(images, corners.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert not torch.equal(corners, corners[:, :, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_log_and_progress_bar_show_the_stage(tiny, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = ("logger=[csv]", "callbacks.train_log.every_batches=1")
    bar = ("+callbacks.progress={_target_:gan_lab.callbacks.progress.Progress,budget_images:48}",)
    fit(tiny(*GROWTH, "budget.images=48", *log, *bar))
    rows = [line.split(",") for line in next((tmp_path / "run").glob("**/metrics.csv")).read_text().splitlines()]
    columns = [rows[0].index(f"progress/{name}") for name in ("resolution", "alpha")]
    assert [tuple(float(row[c]) for c in columns) for row in rows[1:]] == [(s.resolution, s.alpha) for s in STAGES[:6]]
    assert "resolution 8, alpha 0.5" in capfd.readouterr().err


ALGORITHMS = ["d2gan", "unrolled_gan", "reg_gan", "mdgan", "dfm", "d2gan_dfm", "veegan", "bigan", "semi_supervised"]


@pytest.mark.parametrize("model", ALGORITHMS)
def test_every_algorithm_grows(model: str, tiny) -> None:
    """All networks of an algorithm that see images grow."""
    settings = (f"model={model}", "architecture=pggan", "growth=even", "dataset.resolution=8", "budget.images=64")
    module = fit(tiny(*settings)).module
    stages = {part.stage for part in growing_networks(module)}
    assert stages == {Stage(8)} and len(growing_networks(module)) >= 3
    assert all(torch.isfinite(value).all() for value in module.parameters())


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("model=dcgan", "growth=even"), "growth needs growing networks, and DCGANGenerator does not grow; set "
         "architecture=pggan, or growth=none."),
        (("model=pggan", "dataset=ring", "architecture=mlp"),
         "growth needs images, but growth.resolution=null, as for points; set growth=none."),
        (("model=pggan", "growth.first=8", "dataset.resolution=8"),
         "growth.first=8 and dataset.resolution=8 are not allowed: both must be powers of two, at least 4, and first "
         "must be smaller."),
        (("model=pggan", "growth=cifar10", "+growth.batch_sizes={8:0}"),
         "growth.batch_sizes.8=0 is not allowed: it must be at least 1."),
    ],
)  # fmt: skip
def test_what_is_refused(overrides: tuple[str, ...], sentence: str, tiny) -> None:
    with pytest.raises(ConfigError) as refusal:
        build(tiny(*overrides, "budget.images=80"))
    assert str(refusal.value) == sentence


BATCHES = (*GROWTH, "dataset.max_images=30", "+growth.batch_sizes={4:12,16:4}", "budget.images=128")
"""Epochs of at most 30 images in batches of 12, 8 and 4."""
SIZES = [12, 12, *[8] * 7, *[4] * 12]
"""4 pixels up to 24 images, 8 pixels up to 80, 16 pixels up to 128."""


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_batches_follow_the_resolution(cache: str, tiny) -> None:
    module, recorded = watched(tiny(*BATCHES, f"dataset.cache={cache}"))
    assert [len(batch["real"]) for batch in recorded] == [len(batch["fake"]) for batch in recorded] == SIZES
    assert [batch["real"].shape[-1] for batch in recorded] == [4] * 2 + [8] * 7 + [16] * 12
    assert module.images_seen == 128 and module.batches_seen == 21
    assert module.trainer.train_dataloader.sampler.epoch == 4  # epochs begin at 0, 24, 48, 72 and 100 images


# Epochs end after 24 and 72 images; 40 and 88 are inside of one, 88 after its batches became smaller.
@pytest.mark.parametrize("stop", [24, 40, 72, 88])
def test_a_resumed_run_with_changing_batch_sizes_sees_the_same_images(stop: int, tiny, tmp_path: Path) -> None:
    settings = (*BATCHES, "dataset.flip=true", *CHECKPOINTS)
    uninterrupted = fit(tiny(*settings, f"run.dir={tmp_path}/uninterrupted"))
    fit(tiny(*settings, f"callbacks.budget.images={stop}", f"run.dir={tmp_path}/first"))
    second = fit(tiny(*settings, f"run.dir={tmp_path}/second", f"resume={tmp_path}/first/checkpoints/last.ckpt"))
    a, b = uninterrupted.module.state_dict(), second.module.state_dict()
    assert all(torch.equal(x, b[key]) if isinstance(x, torch.Tensor) else x == b[key] for key, x in a.items())
    assert second.trainer.global_step == uninterrupted.trainer.global_step == 21


@pytest.mark.slow
def test_a_run_that_stops_after_every_batch_equals_the_uninterrupted_one(tiny, tmp_path: Path) -> None:
    settings = (*BATCHES, "dataset.flip=true", *CHECKPOINTS)
    uninterrupted = fit(tiny(*settings, f"run.dir={tmp_path}/uninterrupted"))
    for seen in accumulate(SIZES):
        parts = fit(tiny(*settings, f"callbacks.budget.images={seen}", f"run.dir={tmp_path}/parts"))
    a, b = uninterrupted.module.state_dict(), parts.module.state_dict()
    assert all(torch.equal(x, b[key]) if isinstance(x, torch.Tensor) else x == b[key] for key, x in a.items())
    assert parts.trainer.global_step == uninterrupted.trainer.global_step == 21


def test_batches_that_cannot_be_split_are_refused(tiny) -> None:
    with pytest.raises(ConfigError) as refusal:
        build(tiny(*GROWTH, "+growth.batch_sizes={8:14}", "accumulate=4", "budget.images=80"))
    assert str(refusal.value) == (
        "growth.batch_sizes.8=14 does not divide by 1 process(es) x accumulate=4: choose a multiple of 4."
    )


@pytest.mark.parametrize(("budget", "warned"), [(104, True), (112, False)])
def test_a_run_that_ends_before_it_has_grown_warns(budget: int, warned: bool, tiny, caplog) -> None:
    fit(tiny(*GROWTH, f"budget.images={budget}"))
    sentence = "ends before the networks have grown, at 16 of 16 pixels: growing takes 112 images. Set a larger budget"
    assert (sentence in caplog.text) is warned


def test_the_ema_has_the_papers_decay_at_its_batch_size() -> None:
    for override in ("model=pggan", "experiment=pggan_cifar10"):
        cfg = compose(override)
        averaging = instantiate({**cfg.averaging, "_target_": "gan_lab.optim.ema.Averaging"}, "averaging")
        assert averaging.decay(cfg.batch_size, 10**9) == pytest.approx(0.999, abs=1e-7)
    assert averaging.decay(cfg.batch_size, cfg.batch_size) == pytest.approx(0.999, abs=1e-7)  # from the first batch on


@pytest.mark.parametrize(
    ("experiment", "target", "total_images", "generator", "discriminator"),
    # 23,079,115 and 23,087,249 with the image layers of all resolutions.
    [("pggan_cifar10", 750.0, 2_800_000, None, None), ("pggan_celebahq1024", 1.0, 13_600_000, 23_079_115, 23_087_249)],
)
def test_experiments_have_the_papers_numbers(experiment, target, total_images, generator, discriminator) -> None:
    cfg = compose(f"experiment={experiment}", "dataset.source=x", "budget.images=1000")
    parts = build_parts(cfg)
    penalty, drift = parts.penalties["gradient_penalty"], parts.penalties["drift"]
    assert (penalty.weight, penalty.target, drift.weight) == (10.0, target, 1e-3)
    assert (parts.growth.resolution, parts.growth.total_images) == (cfg.dataset.resolution, total_images)
    assert (cfg.batch_size, cfg.lr, list(cfg.betas), parts.n_critic) == (16, 1e-3, [0.0, 0.99], 1)
    assert cfg.latent.dim == cfg.architecture.generator.width == (128 if target == 750 else 512)
    if generator is not None:
        with torch.device("meta"):
            networks = [build_network(cfg, name) for name in ("generator", "discriminator")]
        assert [sum(p.numel() for p in network.parameters()) for network in networks] == [generator, discriminator]
