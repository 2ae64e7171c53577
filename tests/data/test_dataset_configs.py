"""Every file of conf/dataset builds its data module."""

from pathlib import Path

import pytest
from hydra.utils import instantiate
from lightning.pytorch import LightningDataModule
from omegaconf import OmegaConf

from gan_lab.data.image_data import ImageData
from gan_lab.data.mixture_data import MixtureData

FILES = sorted((Path(__file__).parents[2] / "conf" / "dataset").glob("*.yaml"))


def node(path: Path):
    """The file's part of the config; a file may set keys of other groups beside it."""
    config = OmegaConf.load(path)
    return config.get("dataset", config)


def build(path: Path, *overrides: str) -> LightningDataModule:
    """The data module of a file below the keys of the primary config that it refers to."""
    config = OmegaConf.create({"batch_size": 64, "seed": 5, "hardware": {"num_workers": 0}})
    config.dataset = OmegaConf.merge(node(path), OmegaConf.from_dotlist(list(overrides)))
    return instantiate(config.dataset, _convert_="all")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_builds_and_states_its_shape(path):
    source = ["source=somewhere"] if OmegaConf.is_missing(node(path), "source") else []
    data = build(path, *source)
    assert isinstance(data, ImageData | MixtureData)
    config = OmegaConf.create({"dataset": node(path)}).dataset
    assert (config.channels, config.resolution, config.num_classes) == (
        data.spec.channels,
        data.spec.resolution,
        data.spec.num_classes,
    )
    assert data.batch_size == 64 and data.seed == 5


def test_the_sets_that_need_no_file_give_batches():
    folder = FILES[0].parent
    batch = next(iter(build(folder / "digits.yaml").train_dataloader()))
    assert batch["image"].shape == (64, 1, 32, 32)
    for name, modes in {"ring": 8, "grid": 25}.items():
        data = build(folder / f"{name}.yaml")
        assert next(iter(data.train_dataloader()))["image"].shape == (64, 2)
        assert isinstance(data, MixtureData) and data.mixture.modes == modes


def test_the_number_of_classes_follows_the_ring():
    data = build(FILES[0].parent / "ring.yaml", "mixture.modes=5")
    assert isinstance(data, MixtureData) and data.spec.num_classes == 5
