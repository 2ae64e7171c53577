"""Every model of the catalog trains, saves, resumes and samples with its own config."""

import contextlib
import functools
from pathlib import Path

import pytest
import torch

import gan_lab
from gan_lab.config.build import build, build_network
from gan_lab.config.compose import compose
from gan_lab.config.schema import CONF
from gan_lab.errors import ConfigError
from gan_lab.gans.catalog import CATALOG
from gan_lab.noise import Noise, mix
from gan_lab.training.fit import fit
from tests.conftest import TINY
from tests.helpers.model_data import MODELS, POINT_MODELS, small_data

CHECKPOINTS = (
    "+callbacks.checkpoints._target_=gan_lab.callbacks.checkpoints.Checkpoints",
    "+callbacks.checkpoints.folder=${run.dir}/checkpoints",
    "+callbacks.checkpoints.config_file=${run.dir}/config.yaml",
    "+callbacks.checkpoints.budget_images=${budget.images}",
    "+callbacks.checkpoints.every_images=64",  # so that only the end of the run writes a checkpoint
)


ON_POINTS = {"pggan": ("growth=none",)}
"""Overrides that a model needs for points."""

IMAGES_ONLY = {"lapgan"}
"""Models that refuse points."""


@functools.cache
def smallest_resolution(model: str) -> int:
    """The smallest resolution of a model's networks."""
    for resolution in (8, 16, 32):
        cfg = compose(*TINY, f"model={model}", *small_data(model), f"dataset.resolution={resolution}")
        with contextlib.suppress(ConfigError):
            build_network(cfg, "generator"), build_network(cfg, "discriminator")
            return resolution
    raise AssertionError(model)


def test_catalog_and_configs_name_the_same_models() -> None:
    assert sorted(MODELS) == sorted(file.stem for file in (CONF / "model").glob("*.yaml"))


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.name)
def test_catalog_names_the_class_that_the_config_builds(entry, tiny) -> None:
    assert tiny(f"model={entry.name}").algorithm._target_ == entry.algorithm


@pytest.mark.parametrize("model", MODELS)
def test_takes_steps(model: str, tiny) -> None:
    """All parameters change and stay finite. If only differences of logits count, the last bias has no gradient."""
    cfg = tiny(f"model={model}", *small_data(model, 32), "budget.images=160")
    experiment = build(cfg)
    module = experiment.module
    before = {key: value.clone() for key, value in module.named_parameters()}
    experiment.trainer.fit(module, datamodule=experiment.data)
    still = {key for key, value in module.named_parameters() if torch.equal(value, before[key])}
    differences = any(name in cfg.loss._target_ for name in ("Wasserstein", "Relativistic"))
    assert still <= ({"discriminator.output.bias"} if differences else set())
    assert all(torch.isfinite(value).all() for value in module.parameters())
    assert module.images_seen == 160 and module.batches_seen == 20


@pytest.mark.parametrize("model", MODELS)
def test_saves_and_samples(model: str, tiny, tmp_path: Path) -> None:
    """A checkpoint holds plain data and the config; test_exact_resume.py tests resuming."""
    resolution = smallest_resolution(model)
    data = (*small_data(model), f"dataset.resolution={resolution}")
    uninterrupted = fit(tiny(f"model={model}", *data, *CHECKPOINTS, "budget.images=80"))
    assert uninterrupted.trainer.global_step == 10
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["gan_lab"]["config"] == (tmp_path / "run" / "config.yaml").read_text()
    assert "${" not in checkpoint["gan_lab"]["config"]

    module = uninterrupted.module
    condition = module.condition.sample(Noise(1, 5), module.examples(5) if module.condition.needs_batch else None)
    images = gan_lab.load(tmp_path / "run").sample(5, seed=1, condition=condition)
    assert images.shape == (5, 1, resolution, resolution) and images.dtype == torch.float32
    assert images.abs().max() <= 1
    expected = module.generate(module.latent.sample(Noise(mix(1), 5)), condition)
    assert torch.allclose(images, expected, atol=1e-6)


@pytest.mark.parametrize("model", [model for model in POINT_MODELS if model not in IMAGES_ONLY])
def test_trains_on_points(model: str, tiny) -> None:
    settings = ("dataset=ring", "architecture=mlp", "budget.images=80", *ON_POINTS.get(model, ()))
    module = fit(tiny(f"model={model}", *settings)).module
    assert module.generate(*module.sample_inputs(4, 0)).shape == (4, 2)


def test_stateful_parts_resume(tiny, tmp_path: Path) -> None:
    """State besides weights and counters: ADA's probability and sums, LeCam's averages, the mean of past weights."""
    parts = ("augment=ada", "augment.adapt_images=300", "regularizer=[lecam,historical_averaging,top_k]")
    settings = (
        *parts,
        "wrapper/discriminator=[spectral_norm]",
        "dataset.resolution=8",
        *CHECKPOINTS,
        "budget.images=240",
    )
    uninterrupted = fit(tiny(*settings, f"run.dir={tmp_path}/uninterrupted"))
    fit(tiny(*settings, "callbacks.budget.images=88", f"run.dir={tmp_path}/first"))
    second = fit(tiny(*settings, f"run.dir={tmp_path}/second", f"resume={tmp_path}/first/checkpoints/last.ckpt"))
    a, b = uninterrupted.module.state_dict(), second.module.state_dict()
    assert {key.split(".")[0] for key in a} >= {"augment", "penalties"} and a.keys() == b.keys()
    assert 0 < a["augment.controller.p"] < 1
    for key, value in a.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, b[key]), key
        else:
            assert all(torch.equal(torch.as_tensor(v), torch.as_tensor(b[key][name])) for name, v in value.items()), key
