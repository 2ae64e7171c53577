"""Densities of 2-D points over time, and points over the discriminator's logits."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from gan_lab.callbacks.fields import logits_of_points
from gan_lab.config.build import build
from gan_lab.config.compose import compose
from gan_lab.figures import plane
from gan_lab.training.fit import fit
from tests.conftest import TINY

RING = ("dataset=ring", "architecture=mlp", "architecture.generator.norm=none", "logger=[]", "budget.images=32")
GRIDS = ("callbacks.sample_grids.every_images=16", "callbacks.sample_grids.points=500")
OVERRIDES = [override for override in TINY if override != "~callbacks.sample_grids"]


def test_figures_of_points(tmp_path: Path) -> None:
    fit(compose(*OVERRIDES, *RING, *GRIDS, f"run.dir={tmp_path}"))
    samples = tmp_path / "samples"
    assert sorted(path.name for path in samples.glob("field_*.png")) == [f"field_{n:010d}.png" for n in (0, 16, 32)]
    with Image.open(samples / "field.gif") as gif:
        assert gif.n_frames == 3
    assert Image.open(samples / "strip.png").width > 4 * 200  # three figures and the real points


@pytest.mark.parametrize(
    "more",
    [
        ("conditioning=concat",),
        ("wrapper/discriminator=[packing]",),
        ("wrapper/discriminator=[minibatch_discrimination]",),
    ],
)
def test_no_field_if_single_points_have_no_logit(more: tuple[str, ...], tmp_path: Path) -> None:
    fit(compose(*OVERRIDES, *RING, *GRIDS, f"run.dir={tmp_path}", *more))
    assert (tmp_path / "samples/strip.png").is_file()
    assert not list((tmp_path / "samples").glob("field*"))


def test_logits_are_computed_in_evaluation_mode(tmp_path: Path) -> None:
    module = build(compose(*TINY, *RING, f"run.dir={tmp_path}", "architecture.discriminator.dropout=0.5")).module
    positions = plane(3.0, 8)
    logits = logits_of_points(module, positions)
    assert module.discriminator.training
    with torch.no_grad():
        assert torch.equal(logits, module.discriminator.eval()(positions))
    for others in (("model=veegan",), ("wrapper/discriminator=[packing]",)):  # pairs with latents; packs of samples
        module = build(compose(*TINY, *RING, f"run.dir={tmp_path}", *others)).module
        assert logits_of_points(module, positions) is None
