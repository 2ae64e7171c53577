"""Discriminators of run folders, checkpoints and imported files."""

from pathlib import Path

import pytest
import torch

import gan_lab
from gan_lab.config.compose import compose
from gan_lab.errors import CheckpointError
from gan_lab.sampling.discriminators import load_discriminator
from gan_lab.training.fit import fit
from tests.conftest import SMALL

IMAGES = torch.linspace(-1, 1, 3 * 64).reshape(3, 1, 8, 8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DCGAN after two batches of digits."""
    folder = tmp_path_factory.mktemp("discriminator") / "run"
    fit(compose(*SMALL, "model=dcgan", "dataset.resolution=8", f"run.dir={folder}"))
    return folder


def test_the_discriminator_of_a_run(run: Path) -> None:
    loaded = load_discriminator(run, "cpu")
    assert loaded.score(IMAGES).shape == (3,)
    assert loaded.images_seen > 0
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())
    torch.testing.assert_close(load_discriminator(loaded.path, "cpu").score(IMAGES), loaded.score(IMAGES))


def test_untrained_weights_depend_on_the_seed_alone(run: Path) -> None:
    loaded = load_discriminator(run, "cpu")
    before = torch.random.get_rng_state()
    first, again, other = (loaded.untrained(seed)(IMAGES) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first, loaded.score(IMAGES))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_export_has_none(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    gan_lab.export(run, out=str(file))
    with pytest.raises(CheckpointError, match="has no discriminator, which gan-lab export leaves out"):
        load_discriminator(file)
