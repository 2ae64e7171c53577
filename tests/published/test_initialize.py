"""Training that starts from imported weights takes all of both networks."""

from pathlib import Path

import pytest
import torch

import gan_lab
from gan_lab.config.build import build
from gan_lab.config.compose import compose
from gan_lab.training.initializing import WeightFile
from tests.conftest import TINY
from tests.helpers.published_biggan import ajbrock_discriminator_shapes, ajbrock_shapes, biggan_tensors
from tests.helpers.published_files import stylegan2_snapshot, write_pickle, write_torch, zoo_checkpoint
from tests.published.test_progan import zoo_networks
from tests.published.test_stylegan2 import networks


def stylegan2(folder: Path) -> Path:
    write_pickle(folder / "x.pkl", stylegan2_snapshot(*networks(10)))
    return gan_lab.import_weights(folder / "x.pkl", out=folder / "x.safetensors").file


def progan(folder: Path) -> Path:
    write_torch(folder / "x.pth", zoo_checkpoint(*zoo_networks()))
    return gan_lab.import_weights(folder / "x.pth", out=folder / "x.safetensors").file


def biggan(folder: Path) -> Path:
    generator = biggan_tensors(ajbrock_shapes(64, 4, 20, 10, 128), 0)
    write_torch(folder / "G.pth", generator)
    write_torch(folder / "D.pth", biggan_tensors(ajbrock_discriminator_shapes(64, 4, 10), 1))
    file = folder / "x.safetensors"
    return gan_lab.import_weights(folder / "G.pth", discriminator=folder / "D.pth", out=file).file


RUNS = {
    "stylegan2": (
        stylegan2,
        ("model=stylegan2", "conditioning=mapping", "dataset.resolution=16", "width=6", "latent.dim=5",
         "architecture.generator.channel_base=64", "architecture.discriminator.channel_base=64",
         "architecture.generator.style_dim=7", "architecture.generator.mapping_layers=3"),
    ),
    "progan": (
        progan,
        ("model=pggan", "growth=none", "dataset.resolution=16", "width=6", "latent.dim=5",
         "architecture.generator.fmap_base=32", "architecture.discriminator.fmap_base=32",
         "architecture.generator.pixel_bias=true"),
    ),
    "biggan": (biggan, ("model=biggan", "dataset.resolution=64", "width=4", "latent.dim=20")),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_a_run_takes_both_networks(name: str, tmp_path: Path) -> None:
    make, overrides = RUNS[name]
    quick = [override for override in TINY if "width" not in override]
    source = WeightFile.read(make(tmp_path))
    module = build(compose(*quick, *overrides, "dataset.channels=3", f"run.dir={tmp_path}/run")).module
    source.load_into(module)
    taken = {each.network: each.fraction for each in source.compare(module).networks}
    assert taken == dict.fromkeys(("generator", "discriminator", "averaged.generator"), 1), source.compare(module)
    theirs = gan_lab.load(tmp_path / "x.safetensors", device="cpu").generator
    latents, labels = torch.randn(2, {"biggan": 20}.get(name, 5)), torch.tensor([1, 2])
    ours = module.averaged["generator"].eval()
    torch.testing.assert_close(theirs(latents, labels), ours(latents, labels))
