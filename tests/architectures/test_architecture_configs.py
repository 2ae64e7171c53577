"""All files in conf/architecture: keys, values and defaults match their classes, and they build."""

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

FILES = sorted((Path(__file__).parents[2] / "conf" / "architecture").glob("*.yaml"))
LATENT_DIM = 1380
"""Enough for all of them: 100 for the coarsest level of lapgan, and a number for each pixel of its other levels."""
VALUES = {
    "${latent.dim}": LATENT_DIM,
    "${dataset.channels}": 3,
    "${dataset.resolution}": 32,
    "${default_width}": 64,
    "${oc.select:dataset.source_channels,null}": 3,
    "${oc.select:architecture.generator.resolutions,null}": None,
    "${oc.select:architecture.generator.upsampling,bilinear}": "bilinear",
}


def settings(file: Path, role: str) -> tuple[type[nn.Module], dict[str, Any]]:
    """Class and arguments of `generator` or `discriminator`, with interpolations replaced by values."""
    node = yaml.safe_load(file.read_text())[role]
    module, _, name = node.pop("_target_").rpartition(".")
    node["width"] = yaml.safe_load(node["width"].removeprefix("${first:${width},").removesuffix("}"))
    return getattr(importlib.import_module(module), name), {k: VALUES.get(v, v) for k, v in node.items()}


def test_there_are_files() -> None:
    names = {"mlp", "maxout", "dcgan", "resnet", "sngan_cnn", "sngan_resnet", "sagan", "biggan", "biggan_deep"}
    assert {file.stem for file in FILES} >= names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_keys_are_exactly_the_constructors(file: Path) -> None:
    assert set(yaml.safe_load(file.read_text())) == {"generator", "discriminator"}
    for role in ("generator", "discriminator"):
        cls, arguments = settings(file, role)
        # All of them, so every option is visible and can be overridden.
        assert set(arguments) == set(inspect.signature(cls).parameters)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_common_arguments(file: Path) -> None:
    shared = ["channels", "resolution", "width", "norm", "init", "init_scale"]
    for role, names in (("generator", ["latent_dim", *shared]), ("discriminator", shared)):
        cls, _ = settings(file, role)
        assert list(inspect.signature(cls).parameters)[: len(names)] == names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_numbers_come_from_the_config_groups(file: Path) -> None:
    for role, keys in (("generator", ("latent.dim", "dataset.channels", "dataset.resolution")),):
        node = yaml.safe_load(file.read_text())[role]
        assert tuple(node[k] for k in ("latent_dim", "channels", "resolution")) == tuple(f"${{{k}}}" for k in keys)
    node = yaml.safe_load(file.read_text())["discriminator"]
    assert (node["channels"], node["resolution"]) == ("${dataset.channels}", "${dataset.resolution}")


# The other files use the same classes with the numbers of other papers.
OWN_CLASS = [file for file in FILES if file.stem not in ("maxout", "sngan_resnet", "sagan", "resnet_translator")]


@pytest.mark.parametrize("file", OWN_CLASS, ids=lambda file: file.stem)
def test_constructors_default_to_the_file(file: Path) -> None:
    for role in ("generator", "discriminator"):
        cls, arguments = settings(file, role)
        defaults = {n: p.default for n, p in inspect.signature(cls).parameters.items() if p.default is not p.empty}
        defaults.pop("source_channels", None)  # the data set's
        assert defaults
        for name, default in defaults.items():
            expected = pytest.approx(default) if isinstance(default, float) else default
            assert arguments[name] == expected, name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_builds_and_runs(file: Path) -> None:
    generator, arguments = settings(file, "generator")
    discriminator, more = settings(file, "discriminator")
    with torch.no_grad():
        sources = [torch.zeros(2, 3, 32, 32)] if "source_channels" in arguments else []
        images = generator(**arguments).eval()(torch.randn(2, LATENT_DIM), *sources)
        assert images.shape == (2, 3, 32, 32)
        assert len(discriminator(**more)(images)) == 2
