"""A grid for each resolution of a run that grows, and all of them side by side."""

from pathlib import Path

import pytest
from PIL import Image
from tests.conftest import TINY
from tests.gans.test_growth import GROWTH

from gan_lab.callbacks.sample_grids import FIXED_LATENTS
from gan_lab.callbacks.stage_grids import SIDE
from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from gan_lab.pictures import image_grid

WORDS = [word for word in TINY if word not in ("~callbacks.stage_grids", "~callbacks.checkpoints")]


def grown(folder: Path, images: int, *more: str):
    """The module of a run of `GROWTH` that ends at `images`: 4 pixels to 24 images, 8 to 80, then 16."""
    return fit(compose(*WORDS, *GROWTH, "budget.images=128", f"callbacks.budget.images={images}", f"run.dir={folder}", *more)).module  # fmt: skip


@pytest.mark.parametrize(("images", "sides"), [(16, [4]), (24, [4]), (32, [4, 8]), (80, [4, 8]), (128, [4, 8, 16])])
def test_a_grid_for_each_resolution_that_was_trained(images: int, sides: list[int], tmp_path: Path) -> None:
    grown(tmp_path, images)
    samples = tmp_path / "samples"
    assert sorted(file.name for file in samples.iterdir()) == [f"stage_{side:04d}.png" for side in sides] + [
        "stages.png"
    ]
    with Image.open(samples / "stages.png") as picture:
        assert picture.height > 2 * SIDE  # generated over real
        assert len(sides) * SIDE < picture.width < len(sides) * SIDE + 200


def test_a_grid_shows_the_average_at_the_end_of_its_resolution(tmp_path: Path) -> None:
    module = grown(tmp_path / "short", 80)  # the last batch at 8 pixels
    expected = image_grid(module.generate(module.sample_latents(16, module.seed, FIXED_LATENTS)), 4, SIDE)
    grown(tmp_path / "whole", 128)
    found = Image.open(tmp_path / "whole/samples/stage_0008.png")
    assert found.tobytes() == expected.tobytes()


def test_a_resumed_run_completes_the_sheet(tmp_path: Path) -> None:
    grown(tmp_path / "whole", 128)
    grown(tmp_path / "parts", 48)  # inside the fade of 8 pixels
    grown(tmp_path / "parts", 128, f"resume={tmp_path}/parts")
    for name in ("stage_0004.png", "stage_0008.png", "stage_0016.png", "stages.png"):
        files = [tmp_path / run / "samples" / name for run in ("whole", "parts")]
        assert files[0].read_bytes() == files[1].read_bytes(), name
