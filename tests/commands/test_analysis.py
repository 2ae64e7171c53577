"""`gan-lab memorization` and `gan-lab duplicates`, on digits."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gan_lab.data.digits import read_digits
from gan_lab.data.image_data import ImageData
from gan_lab.sampling.pretrained import PretrainedGenerator
from tests.conftest import SMALL

Command = Callable[..., Any]

SPACE = "+extractor._target_=tests.helpers.pixel_features.pixel_features"
OURS = f"allow_targets=[tests.helpers.pixel_features,{__name__}]"
SMALL_SAMPLE = (OURS, "samples=40", "count=3", "nearest=2", "batch_size=16", "device=cpu")


@pytest.fixture
def trained(command: Command, tmp_path: Path) -> Path:
    assert command("train", *SMALL, "run.name=one", "dataset.max_images=60", "logger=[]").status == 0
    return tmp_path / "runs" / "one"


def digits(count: int = 60) -> list[Image.Image]:
    raw = read_digits()
    return [raw.load(position) for position in range(count)]


def square(figure: Image.Image, row: int, column: int, size: int = 128) -> np.ndarray:
    """One image of a sheet with captions."""
    left, top = 8 + column * (size + 8), 8 + row * (size + 28)
    return np.asarray(figure)[top : top + size, left : left + size].astype(int)


def blurred() -> torch.nn.Module:
    from gan_lab.metrics.extractors import Extractor

    class Blurred(Extractor):
        def _features(self, images: Tensor) -> Tensor:
            return self.network(images).flatten(1)

    return Blurred(torch.nn.AvgPool2d(4), "blurred", 64, "none")


# -- memorization ----------------------------------------------------------------------------------------------------


def test_neighbors_of_a_run(command: Command, trained: Path) -> None:
    outcome = command("memorization", *SMALL_SAMPLE, SPACE)
    assert outcome.status == 0, outcome.err
    found = json.loads((trained / "memorization.json").read_text())
    assert found["ratio"] == pytest.approx(found["distance"] / found["baseline_distance"])
    assert {"samples": 40, "training_images": 60, "baseline_images": 40, "extractor": "pixels", "mirrored": False,
    "seed": 0,
            "weights": "ema", "images_seen": 32}.items() <= found["protocol"].items()  # fmt: skip
    assert f"| {found['ratio']:.4g} " in outcome.out and found["protocol"]["extractor_fingerprint"] in outcome.out
    nearest = [row["nearest"][0]["distance"] for row in found["rows"]]
    assert len(nearest) == 3 and nearest == sorted(nearest) and nearest[-1] <= found["distance"]
    assert all(len(row["nearest"]) == 2 and "of scikit-learn" in row["nearest"][0]["image"] for row in found["rows"])
    figure = Image.open(trained / "memorization.png")
    assert figure.size == (8 + 3 * 136, 8 + 3 * 156 + 24)
    name = found["rows"][0]["nearest"][0]["image"]
    shown = np.asarray(digits(1797)[int(name.split()[1])].resize((32, 32), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(square(figure, 0, 1)[2::4, 2::4, 0] - shown).max() <= 1
    with Image.open(trained / "memorization.png") as before:
        assert command("memorization", *SMALL_SAMPLE, SPACE, "seed=1", "weights=raw", "out=here").status == 0
        assert before.tobytes() != Image.open("here/memorization.png").tobytes()
    assert json.loads(Path("here/memorization.json").read_text())["protocol"]["weights"] == "raw"


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_run_that_copies(command: Command, trained: Path, monkeypatch: pytest.MonkeyPatch, mirrored: bool) -> None:
    """A generator that returns training images, or their mirror images."""
    data = ImageData("scikit-learn", read_digits, 32, 1, 10, 8, fit="stretch", max_images=60)
    store = torch.cat([images for images, _ in data.reals(None, 60)])

    def generate(self: PretrainedGenerator, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        chosen = store[(latents[:, 0].abs() * 1e4).long() % len(store)]
        return (chosen.flip(-1) if mirrored else chosen) + 1e-3 * latents[:, :1, None, None]

    monkeypatch.setattr(PretrainedGenerator, "samples_of", generate)
    overrides = (
        "memorization",
        *SMALL_SAMPLE,
        f"+extractor._target_={__name__}.blurred",
        "dataset=digits",
        "dataset.max_images=60",
    )
    outcome = command(*overrides, f"dataset.flip={mirrored}")
    assert outcome.status == 0, outcome.err
    found = json.loads((trained / "memorization.json").read_text())
    assert found["protocol"]["mirrored"] is mirrored
    assert found["copies"] > 0.9 and found["closer"] > 0.9 and found["ratio"] < 0.1 and found["baseline_copies"] < 0.3
    assert all(row["nearest"][0]["image"].endswith("(mirrored)") is mirrored for row in found["rows"])
    figure = Image.open(trained / "memorization.png")
    for row in range(3):
        assert np.abs(square(figure, row, 0) - square(figure, row, 1)).max() <= 2
        assert np.abs(square(figure, row, 0) - square(figure, row, 2)).max() > 50
    if mirrored:
        assert command(*overrides, "dataset.flip=true", "mirrored=false").status == 0
        assert json.loads((trained / "memorization.json").read_text())["copies"] < 0.5


# -- duplicates -------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """60 digits as files, and some of them again: two exact, one saved again, one in a folder below."""
    root = tmp_path / "photos"
    (root / "zz").mkdir(parents=True)
    for position, image in enumerate(digits()):
        image.resize((64, 64), Image.Resampling.BICUBIC).save(root / f"{position:02}.png")
    for original, copy in {"07": "zz/a.png", "12": "07b.png", "30": "z.png"}.items():
        Image.open(root / f"{original}.png").save(root / copy)
    Image.open(root / "44.png").save(root / "44b.jpg", quality=95)
    return root


PLANTED = {"44b.jpg": "44.png", "zz/a.png": "07.png", "z.png": "30.png", "12.png": "07b.png"}
"""Of equal images, in the order of their names, the later ones are dropped."""

SOURCE = ("dataset=image_folder", "dataset.source=photos", "dataset.channels=1", "dataset.resolution=32", "device=cpu")


def listed(file: str = "duplicates/duplicates.csv") -> dict[str, str]:
    rows = list(csv.DictReader(Path(file).read_text().splitlines()))
    assert all(set(row) == {"dropped", "kept", "distance"} and float(row["distance"]) >= 0 for row in rows)
    return {row["dropped"].removeprefix("photos/"): row["kept"].removeprefix("photos/") for row in rows}


@pytest.mark.parametrize("overrides", ["threshold=1", "method=extractor"])
def test_duplicates_of_a_folder(command: Command, folder: Path, overrides: str) -> None:
    before = {file: file.read_bytes() for file in folder.rglob("*.*")}
    space = [f"+extractor._target_={__name__}.blurred", OURS] if "extractor" in overrides else []
    outcome = command("duplicates", *SOURCE, *overrides.split(), *space)
    assert outcome.status == 0, outcome.err
    assert listed() == PLANTED
    assert outcome.out.startswith("4 of 64 images are near-duplicates")
    assert {file: file.read_bytes() for file in folder.rglob("*.*")} == before
    figure = Image.open("duplicates/duplicates.png")
    assert figure.size == (8 + 6 * 136, 8 + 2 * 156 + 24)
    pairs = [[square(figure, pair // 3, 2 * (pair % 3) + k) for k in range(2)] for pair in range(4)]
    assert all(np.abs(kept - dropped).mean() < 3 and kept.std() > 30 for kept, dropped in pairs)
    assert sum((kept != dropped).any() for kept, dropped in pairs) == 1  # the one that was saved as JPEG


def test_training_without_the_duplicates(command: Command, folder: Path) -> None:
    assert command("duplicates", *SOURCE, "threshold=1").status == 0
    listing = "dataset.exclude=duplicates/duplicates.csv"
    again = command("duplicates", *SOURCE, "threshold=1", listing, "out=again")
    assert again.status == 0 and again.out.startswith("0 of 60 images are near-duplicates:"), again.err
    assert not Path("again/duplicates.png").exists() and listed("again/duplicates.csv") == {}
    run = command("train", *SMALL, *SOURCE[:-1], listing, "batch_size=61", "run.name=small")
    assert run.status == 2 and "has 60 images, fewer than" in re.sub(r"\s+", " ", run.err)
    assert command("train", *SMALL, *SOURCE[:-1], listing, "batch_size=60", "run.name=small").status == 0


def test_an_older_figure_does_not_stay(command: Command, folder: Path) -> None:
    assert command("duplicates", *SOURCE).status == 0 and Path("duplicates/duplicates.png").is_file()
    assert command("duplicates", *SOURCE, "dataset.max_images=2").status == 0
    assert not Path("duplicates/duplicates.png").exists()
