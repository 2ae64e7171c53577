"""Sample grids of each resolution of progressive growing, and `stages.png`."""

from pathlib import Path

import pytest
from PIL import Image

from gan_lab.callbacks.sample_grids import FIXED_LATENTS
from gan_lab.callbacks.stage_grids import GRID_SIZE
from gan_lab.config.compose import compose
from gan_lab.figures import image_grid
from gan_lab.training.fit import fit
from tests.conftest import TINY
from tests.gans.test_growth import GROWTH

OVERRIDES = [override for override in TINY if override not in ("~callbacks.stage_grids", "~callbacks.checkpoints")]


def grown(folder: Path, images: int, *more: str):
    """The module of a run of `GROWTH` that ends at `images`: resolution 4 until 24 images, 8 until 80, then 16."""
    length = ("budget.images=128", f"callbacks.budget.images={images}")
    return fit(compose(*OVERRIDES, *GROWTH, *length, f"run.dir={folder}", *more)).module


@pytest.mark.parametrize(
    ("images", "resolutions"), [(16, [4]), (24, [4]), (32, [4, 8]), (80, [4, 8]), (128, [4, 8, 16])]
)
def test_one_grid_for_each_trained_resolution(images: int, resolutions: list[int], tmp_path: Path) -> None:
    grown(tmp_path, images)
    samples = tmp_path / "samples"
    assert sorted(file.name for file in samples.iterdir()) == [f"stage_{n:04d}.png" for n in resolutions] + [
        "stages.png"
    ]
    with Image.open(samples / "stages.png") as figure:
        assert figure.height > 2 * GRID_SIZE  # generated over real
        assert len(resolutions) * GRID_SIZE < figure.width < len(resolutions) * GRID_SIZE + 200


def test_a_grid_shows_the_averaged_generator_at_the_end_of_its_resolution(tmp_path: Path) -> None:
    module = grown(tmp_path / "short", 80)  # the last batch at 8 pixels
    expected = image_grid(module.generate(module.sample_inputs(16, module.seed, FIXED_LATENTS)[0]), 4, GRID_SIZE)
    grown(tmp_path / "uninterrupted", 128)
    found = Image.open(tmp_path / "uninterrupted/samples/stage_0008.png")
    assert found.tobytes() == expected.tobytes()


def test_a_resumed_run_writes_the_same_grids(tmp_path: Path) -> None:
    grown(tmp_path / "uninterrupted", 128)
    grown(tmp_path / "resumed", 48)  # inside the fade of 8 pixels
    grown(tmp_path / "resumed", 128, f"resume={tmp_path}/resumed")
    for name in ("stage_0004.png", "stage_0008.png", "stage_0016.png", "stages.png"):
        files = [tmp_path / run / "samples" / name for run in ("uninterrupted", "resumed")]
        assert files[0].read_bytes() == files[1].read_bytes(), name
