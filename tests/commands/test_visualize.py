"""Figures of maps and filters of a discriminator by the command."""

from pathlib import Path

import pytest
from PIL import Image

import gan_lab
from gan_lab.config.compose import compose
from gan_lab.errors import UserError
from gan_lab.training.fit import fit
from tests.conftest import SMALL

SMALL_FIGURES = {"images": 50, "count": 3, "device": "cpu"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("visualize") / "run"
    fit(compose(*SMALL, "model=dcgan", "dataset.resolution=16", f"run.dir={folder}"))
    return folder


def test_maps_and_filters_beside_the_untrained_network(run: Path) -> None:
    found = gan_lab.visualize(run, maps=[0, 3], **SMALL_FIGURES)
    assert str(found.layer) == "2: 16 maps of 4x4 pixels"
    assert list(found.purity) == ["trained", "untrained", "chance"]
    assert 1 / 3 <= found.purity["chance"] < 0.6
    sizes = {file.name: Image.open(file).size for file in found.folder.glob("*.png")}
    assert set(sizes) == {"maps_trained.png", "maps_untrained.png", "filters.png"}
    width, height = sizes["maps_trained.png"]
    assert width > 2 * height  # six columns, two rows
    text = (run / "report.html").read_text()
    assert "images with the largest activations of maps of layer 2: 16 maps of 4x4 pixels" in text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": 3}, "layer=3 is not allowed: choose one of 1: 8 maps of 8x8 pixels; 2: 16 maps of 4x4 pixels"),
        ({"maps": [0, 16]}, "there is no map 16; give numbers from 0 to 15"),
        ({"count": 51}, "count=51 is not allowed: it must be at most the number of images, 50"),
        ({"rule": "guided"}, "rule=guided"),
        ({"maps": []}, "maps"),
    ],
)
def test_values_that_do_not_fit(run: Path, settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        gan_lab.visualize(run, **(SMALL_FIGURES | settings))
