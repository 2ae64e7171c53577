"""Small data for any model of the catalog: overrides of the data set that it trains on in the tests."""

import atexit
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image

from gan_lab.config.schema import CONF
from gan_lab.data.digits import read_digits
from gan_lab.gans.catalog import CATALOG

SIZE = 32
LARGE = ("biggan", "biggan_deep", "sagan")
"""Models of images of at least 32 pixels."""


@cache
def needs_sources(model: str) -> bool:
    """Whether a model is for image-to-image translation: its config chooses such a data set."""
    text = (CONF / "model" / f"{model}.yaml").read_text()
    return re.search(r"override /dataset: (un)?paired", text) is not None


MODELS = [entry.name for entry in CATALOG]
TRANSLATION_MODELS = [name for name in MODELS if needs_sources(name)]
POINT_MODELS = [name for name in MODELS if not needs_sources(name)]
"""Models that also make points, or images from latents alone."""


def small_data(model: str, resolution: int = 16) -> tuple[str, ...]:
    """Overrides for digits of at least this resolution, or for 48 pairs of blurred and sharp digits of 32 pixels."""
    if not needs_sources(model):
        return (f"dataset.resolution={SIZE if model in LARGE else resolution}",)
    return (
        f"dataset.source={pairs_folder()}",
        f"dataset.resolution={SIZE}",
        "dataset.channels=1",
        "dataset.source_channels=1",
        "architecture.discriminator.layers=2",
    )


@cache
def pairs_folder() -> Path:
    """A folder with blurred digits in A and the same digits in B, removed at the end of the process."""
    folder = Path(tempfile.mkdtemp(prefix="pairs-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    digits = torch.from_numpy(read_digits().items[:48]).float()[:, None]
    sharp = F.interpolate(digits, (SIZE, SIZE))
    blurred = F.interpolate(F.avg_pool2d(digits, 2), (SIZE, SIZE))
    for name, images in (("A", blurred), ("B", sharp)):
        (folder / name).mkdir()
        for number, image in enumerate(images.byte()):
            Image.fromarray(image[0].numpy()).save(folder / name / f"{number:02d}.png")
    return folder
