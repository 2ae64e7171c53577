"""Growing networks with a prepared pyramid: images equal those pooled on the device, and resuming is exact."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from gan_lab.commands.prepare import prepare
from gan_lab.config.compose import compose
from gan_lab.errors import ConfigError
from gan_lab.layers.growing import at_stage
from gan_lab.training.fit import fit
from tests.gans.test_every_model import CHECKPOINTS
from tests.gans.test_growth import BATCHES, GROWTH, STAGES, watched

GRAY = 1 / 255
"""Half a gray level in [-1, 1]: the maximum error of rounding averages to 8 bits."""
CLOSE = GRAY + 1e-6


@pytest.fixture
def digits(tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    """A function that prepares digits at some resolutions and returns the overrides to train on them."""

    def make(*resolutions: int) -> tuple[str, ...]:
        folder = tmp_path / "prepared"
        dataset = compose("dataset=digits", "dataset.resolution=16", "dataset.max_images=100").dataset
        options = {"dataset": OmegaConf.to_container(dataset, resolve=True), "resolutions": list(resolutions) or None}
        prepare(OmegaConf.create({**options, "out": str(folder)}))
        return ("dataset=prepared", f"dataset.source={folder}", "dataset.num_classes=10")

    return make


@pytest.mark.parametrize("resolutions", [(), (8, 16)], ids=["all", "without_4"])
def test_players_see_the_pooled_images(resolutions, digits, tiny, tmp_path: Path) -> None:
    prepared = digits(*resolutions)
    more = ("budget.images=128", "dataset.flip=true")
    _, pooled = watched(tiny(*GROWTH, *more, "dataset=digits", "dataset.max_images=100"))
    module, read = watched(tiny(*GROWTH, *more, *prepared))
    first = resolutions[0] if resolutions else 4
    assert [batch["raw"].shape[-1] for batch in read] == [max(stage.resolution, first) for stage in STAGES]
    rounded = 0
    for stage, ours, theirs in zip(STAGES, read, pooled, strict=True):
        assert ours["stages"] == [stage] * 3 and torch.equal(ours["real"], at_stage(ours["raw"], stage))
        difference = (ours["real"] - theirs["real"]).abs().max()
        assert difference <= (0 if stage.resolution == 16 else CLOSE)
        rounded += bool(difference)
    assert rounded and module.images_seen == 128


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_resuming_is_exact(cache: str, digits, tiny, tmp_path: Path) -> None:
    """Inside a fade and an epoch, with changing batch sizes."""
    settings = (*BATCHES, *digits(), f"dataset.cache={cache}", "dataset.flip=true", *CHECKPOINTS)
    uninterrupted = fit(tiny(*settings, f"run.dir={tmp_path}/uninterrupted"))
    fit(tiny(*settings, "callbacks.budget.images=56", f"run.dir={tmp_path}/first"))
    second = fit(tiny(*settings, f"run.dir={tmp_path}/second", f"resume={tmp_path}/first/checkpoints/last.ckpt"))
    a, b = uninterrupted.module.state_dict(), second.module.state_dict()
    assert a.keys() == b.keys() and uninterrupted.module.images_seen == second.module.images_seen
    assert all(torch.equal(x, b[key]) if isinstance(x, torch.Tensor) else x == b[key] for key, x in a.items())


def test_resuming_with_another_batch_size_is_refused_if_resolutions_differ(digits, tiny, tmp_path: Path) -> None:
    settings = (*GROWTH, *digits(), "budget.images=128", *CHECKPOINTS)
    fit(tiny(*settings, "callbacks.budget.images=72", f"run.dir={tmp_path}/first"))
    with pytest.raises(ConfigError, match=r"images of \d+ pixels where growth is at \d+: resume with"):
        resumed = (f"run.dir={tmp_path}/second", f"resume={tmp_path}/first/checkpoints/last.ckpt")
        fit(tiny(*settings, "batch_size=2", "allow_changes=true", *resumed))


def test_other_models_read_the_resolution_of_the_config(digits, tiny) -> None:
    settings = ("model=dcgan", "budget.images=16", *digits())
    for overrides, resolution in ((), 16), (("dataset.resolution=8",), 8):
        module, noted = watched(tiny(*settings, *overrides))
        assert [batch["real"].shape for batch in noted] == [
            (8, 1, resolution, resolution)
        ] * 2 and module.images_seen == 16
