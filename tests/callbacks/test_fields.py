"""Pictures of points over time, and over the field of the discriminator."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.conftest import TINY

from gan_lab.callbacks.fields import judgement
from gan_lab.config.build import build
from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from gan_lab.pictures import plane

RING = ("dataset=ring", "architecture=mlp", "architecture.generator.norm=none", "logger=[]", "budget.images=32")
GRIDS = ("callbacks.sample_grids.every_images=16", "callbacks.sample_grids.points=500")
SILENT = [word for word in TINY if word != "~callbacks.sample_grids"]


def test_pictures_of_points(tmp_path: Path) -> None:
    fit(compose(*SILENT, *RING, *GRIDS, f"run.dir={tmp_path}"))
    samples = tmp_path / "samples"
    assert sorted(path.name for path in samples.glob("field_*.png")) == [f"field_{n:010d}.png" for n in (0, 16, 32)]
    with Image.open(samples / "field.gif") as gif:
        assert gif.n_frames == 3
    assert Image.open(samples / "strip.png").width > 4 * 200  # three times and the truth


@pytest.mark.parametrize(
    "more", [("conditioning=concat",), ("wrapper=[packing]",), ("wrapper=[minibatch_discrimination]",)]
)
def test_no_field_where_a_point_alone_has_no_logit(more: tuple[str, ...], tmp_path: Path) -> None:
    fit(compose(*SILENT, *RING, *GRIDS, f"run.dir={tmp_path}", *more))
    assert (tmp_path / "samples/strip.png").is_file()
    assert not list((tmp_path / "samples").glob("field*"))


def test_judgement_is_the_discriminators_in_evaluation_mode(tmp_path: Path) -> None:
    module = build(compose(*TINY, *RING, f"run.dir={tmp_path}", "architecture.discriminator.dropout=0.5")).module
    places = plane(3.0, 8)
    logits = judgement(module, places)
    assert module.discriminator.training
    with torch.no_grad():
        assert torch.equal(logits, module.discriminator.eval()(places))
    module.discriminator.join = torch.cat  # as of one that judges samples with their latents
    assert judgement(module, places) is None
    del module.discriminator
    assert judgement(module, places) is None
