"""Fixtures: small image sets on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakeFolder = Callable[..., Path]


def noise_image(seed: int, resolution: int = 8) -> Image.Image:
    """RGB image of uniform noise."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (resolution, resolution, 3), dtype=np.uint8))


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Function that writes a folder of `count` distinct 8x8 PNG files, `000.png` and so on."""

    def make(count: int, name: str = "images") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for number in range(count):
            noise_image(number).save(folder / f"{number:03d}.png")
        return folder

    return make
