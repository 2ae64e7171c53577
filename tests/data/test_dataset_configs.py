"""Configs in conf/dataset: every file builds its data module."""

from pathlib import Path

import pytest
from hydra.utils import instantiate
from lightning.pytorch import LightningDataModule
from omegaconf import OmegaConf

from gan_lab.config.compose import compose
from gan_lab.data.image_data import ImageData
from gan_lab.data.mixture_data import MixtureData
from gan_lab.data.pyramid import DESCRIPTION, Pyramid
from gan_lab.data.stacked import StackedData

FILES = [
    file
    for file in sorted((Path(__file__).parents[2] / "conf" / "dataset").glob("*.yaml"))
    if file.stem != "python"  # tests/data/test_given.py
]


def node(path: Path):
    """The composed `dataset` node of a file, with unresolved interpolations."""
    return OmegaConf.create(OmegaConf.to_container(compose(f"dataset={path.stem}").dataset, resolve=False))


def build(path: Path, *overrides: str) -> LightningDataModule:
    """The data module of a file, together with the keys of the primary config that it refers to."""
    config = OmegaConf.create({"batch_size": 64, "seed": 5, "hardware": {"num_workers": 0}})
    config.dataset = OmegaConf.merge(node(path), OmegaConf.from_dotlist(list(overrides)))
    return instantiate(config.dataset, _convert_="all")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_builds_a_module_of_its_shape(path, tmp_path, monkeypatch):
    source = ["source=somewhere"] if OmegaConf.is_missing(node(path), "source") else []
    monkeypatch.chdir(tmp_path)
    (tmp_path / "somewhere").mkdir()  # for dataset=prepared, which reads its source
    Pyramid("elsewhere", "x", {"channels": 4}, [8, 16], 3).write(tmp_path / "somewhere" / DESCRIPTION)
    data = build(path, *source)
    assert isinstance(data, ImageData | MixtureData | StackedData)
    config = OmegaConf.create({"dataset": OmegaConf.merge(node(path), OmegaConf.from_dotlist(source))}).dataset
    assert (config.channels, config.resolution, config.num_classes) == (
        data.spec.channels,
        data.spec.resolution,
        data.spec.num_classes,
    )
    assert data.batch_size == 64 and data.seed == 5


def test_sets_without_files_yield_batches():
    folder = FILES[0].parent
    for name, channels in {"digits": 1, "stacked_digits": 3}.items():
        batch = next(iter(build(folder / f"{name}.yaml").train_dataloader()))
        assert batch["image"].shape == (64, channels, 32, 32)
    for name, modes in {"ring": 8, "grid": 25, "spiral": 100}.items():
        data = build(folder / f"{name}.yaml")
        assert next(iter(data.train_dataloader()))["image"].shape == (64, 2)
        assert isinstance(data, MixtureData) and data.mixture.modes == modes


@pytest.mark.parametrize("name", ["ring", "spiral"])
def test_the_number_of_classes_follows_the_modes(name):
    data = build(FILES[0].parent / f"{name}.yaml", "mixture.modes=5")
    assert isinstance(data, MixtureData) and data.spec.num_classes == 5


@pytest.mark.parametrize(
    ("name", "paper"),
    [("ring", "Unrolled GAN"), ("ring", "WGAN-GP"), ("grid", "VEEGAN")],
)
def test_options_in_comments_build_the_mixtures_of_the_papers(name, paper):
    """The overrides in the line after `Those of ...:` are used literally."""
    path = FILES[0].parent / f"{name}.yaml"
    (line,) = [line for line in path.read_text().splitlines() if line.startswith("# Those of") and paper in line]
    data = build(path, *(part.removeprefix("dataset.") for part in line.split() if part.startswith("dataset.")))
    assert isinstance(data, MixtureData)
    radius, std = max(data.mixture.centers)[0], data.mixture.std
    expected = {"Unrolled GAN": (1, 0.01), "WGAN-GP": (2 / 1.414, 0.02 / 1.414), "VEEGAN": (4, 0.05)}[paper]
    assert (radius, std) == pytest.approx(expected)
