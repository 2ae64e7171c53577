"""Networks that grow on a prepared pyramid: they see what pooling on the device gives, and a resume is exact."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from gan_lab.config.preparing import prepare
from gan_lab.errors import ConfigError
from gan_lab.layers.growing import shown_at
from tests.gans.test_every_model import CHECKPOINTS
from tests.gans.test_growth import BATCHES, GROWTH, STAGES, watched

GREY = 1 / 255
"""Half a grey level in [-1, 1]: what rounding the averages to 8 bits may change, with a little for float32 itself."""
CLOSE = GREY + 1e-6


@pytest.fixture
def digits(tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    """The settings that train on prepared digits of 16 pixels, at these sides."""

    def make(*sides: int) -> tuple[str, ...]:
        folder = tmp_path / "prepared"
        dataset = compose("dataset=digits", "dataset.resolution=16", "dataset.max_images=100").dataset
        words = {"dataset": OmegaConf.to_container(dataset, resolve=True), "resolutions": list(sides) or None}
        prepare(OmegaConf.create({**words, "out": str(folder)}))
        return ("dataset=prepared", f"dataset.source={folder}", "dataset.num_classes=10")

    return make


@pytest.mark.parametrize("sides", [(), (8, 16)], ids=["all", "without_4"])
def test_players_see_the_images_that_pooling_gives(sides, digits, tiny, tmp_path: Path) -> None:
    prepared = digits(*sides)
    more = ("budget.images=128", "dataset.flip=true")
    _, pooled = watched(tiny(*GROWTH, *more, "dataset=digits", "dataset.max_images=100"))
    module, read = watched(tiny(*GROWTH, *more, *prepared))
    first = sides[0] if sides else 4
    assert [batch["raw"].shape[-1] for batch in read] == [max(stage.resolution, first) for stage in STAGES]
    rounded = 0
    for stage, ours, theirs in zip(STAGES, read, pooled, strict=True):
        assert ours["stages"] == [stage] * 3 and torch.equal(ours["real"], shown_at(ours["raw"], stage))
        difference = (ours["real"] - theirs["real"]).abs().max()
        assert difference <= (0 if stage.resolution == 16 else CLOSE)
        rounded += bool(difference)
    assert rounded and module.images_seen == 128


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_a_resume_is_exact(cache: str, digits, tiny, tmp_path: Path) -> None:
    """Inside a fade and an epoch, with batches that change."""
    settings = (*BATCHES, *digits(), f"dataset.cache={cache}", "dataset.flip=true", *CHECKPOINTS)
    whole = fit(tiny(*settings, f"run.dir={tmp_path}/whole"))
    fit(tiny(*settings, "callbacks.budget.images=56", f"run.dir={tmp_path}/first"))
    second = fit(tiny(*settings, f"run.dir={tmp_path}/second", f"resume={tmp_path}/first"))
    a, b = whole.module.state_dict(), second.module.state_dict()
    assert a.keys() == b.keys() and whole.module.images_seen == second.module.images_seen
    assert all(torch.equal(x, b[key]) if isinstance(x, torch.Tensor) else x == b[key] for key, x in a.items())


def test_a_resume_with_another_batch_is_refused_where_the_sides_part(digits, tiny, tmp_path: Path) -> None:
    settings = (*GROWTH, *digits(), "budget.images=128", *CHECKPOINTS)
    fit(tiny(*settings, "callbacks.budget.images=72", f"run.dir={tmp_path}/first"))
    with pytest.raises(
        ConfigError, match=r"images of \d+ pixels at \d+ images seen, where growth is at \d+: resume with"
    ):
        changed = ("batch_size=2", "allow_changes=true", f"run.dir={tmp_path}/second", f"resume={tmp_path}/first")
        fit(tiny(*settings, *changed))


def test_other_models_read_the_side_that_they_are_told(digits, tiny) -> None:
    settings = ("model=dcgan", "budget.images=16", *digits())
    for words, side in ((), 16), (("dataset.resolution=8",), 8):
        module, noted = watched(tiny(*settings, *words))
        assert [batch["real"].shape for batch in noted] == [(8, 1, side, side)] * 2 and module.images_seen == 16
