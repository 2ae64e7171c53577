"""Every preset for large images or batches trains for a few steps, with narrow networks and random images."""

from pathlib import Path

import pytest
import torch

from gan_lab.config.build import build
from gan_lab.config.compose import compose
from gan_lab.training.fit import fit
from tests.conftest import TINY

NARROW = ("architecture.generator.width=4", "architecture.discriminator.width=4")
GROWING = ("growth.hold_images=3", "growth.fade_images=3", "batch_size=3", "schedule.lr.end_images=8", "latent.dim=8")
LABELED = (
    "latent.dim=120",
    "batch_size=8",
    "callbacks.collapse_watch.images=8",
    "callbacks.collapse_watch.batch_size=8",
)

CIFAR10 = ("dataset.resolution=32", "dataset.num_classes=10")

_READER = "callbacks.collapse_watch.held_out.reader"
HELD_OUT = (
    f"{_READER}._target_=gan_lab.data.noise_images.read_noise", f"~{_READER}.split", f"~{_READER}.published",
    f"+{_READER}.count=16", f"+{_READER}.resolution=32", f"+{_READER}.classes=10",
)  # fmt: skip

PRESETS = {
    "biggan_cifar10": (*NARROW, *HELD_OUT, "batch_size=8", *LABELED[2:], "budget.images=64"),
    "biggan_imagenet128": (*NARROW, *LABELED, "accumulate=2", "averaging.start_images=8", "budget.images=32"),
    "d2gan_cifar10": (*NARROW, "metrics=[]", "batch_size=8", "budget.images=24"),
    "sagan_imagenet128": (*NARROW, *LABELED[1:], "budget.images=24"),
    "pggan_cifar10": (*NARROW, *GROWING, "architecture.generator.fmap_base=64",
    "architecture.discriminator.fmap_base=64", "budget.images=24"),
    "pggan_celebahq1024": ("architecture.generator.width=2", "architecture.discriminator.width=2",
    "architecture.generator.fmap_base=1024", "architecture.discriminator.fmap_base=1024", *GROWING,
    "growth.batch_sizes={256:3,512:3,1024:3}", "budget.images=54"),
}  # fmt: skip

SLOW = ("biggan_imagenet128", "pggan_celebahq1024")


def test_the_presets_for_large_ones_are_these() -> None:
    from gan_lab.config.schema import CONF

    families = ("biggan", "sagan", "pggan", "d2gan_cifar10")
    assert sorted(PRESETS) == sorted(
        f.stem for f in (CONF / "experiment").glob("*.yaml") if f.stem.startswith(families)
    )


@pytest.mark.parametrize(
    "preset", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else []) for name in PRESETS]
)
def test_trains_narrow(preset: str, tmp_path: Path) -> None:
    silent = [text for text in TINY if not text.startswith(("model", "architecture", "batch_size"))]
    shape = CIFAR10 if "cifar10" in preset else ()  # the other presets set theirs
    data = ("dataset=noise", "dataset.reader.count=32", *shape)
    cfg = compose(f"experiment={preset}", *data, *silent, *PRESETS[preset], f"run.dir={tmp_path}")
    before = {key: value.clone() for key, value in build(cfg).module.named_parameters()}
    module = fit(cfg).module
    after = dict(module.named_parameters())
    assert all(torch.isfinite(value).all() for value in after.values())
    assert module.images_seen >= cfg.budget.images
    for player in ("generator.", "discriminator."):
        updated = [not torch.equal(after[key], before[key]) for key in after if key.startswith(player)]
        assert sum(updated) >= 0.9 * len(updated), player
    images = module.generate(*module.sample_inputs(2, 0))
    assert images.shape == (2, 3, cfg.dataset.resolution, cfg.dataset.resolution) and images.abs().max() <= 1
    if module.parts.growth is not None:
        assert module.progress() == {"resolution": cfg.dataset.resolution, "alpha": 1.0}
