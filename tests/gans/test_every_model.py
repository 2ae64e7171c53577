"""Every model of the catalogue takes steps, saves, resumes and samples, as its own config says."""

import contextlib
from pathlib import Path

import pytest
import torch

import gan_lab
from gan_lab.config.build import build, build_network
from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from gan_lab.config.schema import CONF
from gan_lab.errors import ConfigError
from gan_lab.gans.catalogue import CATALOGUE
from tests.conftest import TINY

MODELS = [entry.name for entry in CATALOGUE]
CHECKPOINTS = (
    "+callbacks.checkpoints._target_=gan_lab.callbacks.checkpoints.Checkpoints",
    "+callbacks.checkpoints.folder=${run.dir}/checkpoints",
    "+callbacks.checkpoints.config_file=${run.dir}/config.yaml",
    "+callbacks.checkpoints.budget_images=${budget.images}",
    "+callbacks.checkpoints.every_images=64",  # so that the last one is there because the run ends
)


ON_POINTS = {"pggan": ("growth=none",)}
"""What a model needs where there are no pixels."""


def smallest_side(model: str) -> int:
    """The smallest images that the model's networks draw."""
    for side in (8, 16, 32):
        cfg = compose(*TINY, f"model={model}", f"dataset.resolution={side}")
        with contextlib.suppress(ConfigError):
            build_network(cfg, "generator"), build_network(cfg, "discriminator")
            return side
    raise AssertionError(model)


def test_catalogue_and_configs_name_the_same_models() -> None:
    assert sorted(MODELS) == sorted(file.stem for file in (CONF / "model").glob("*.yaml"))


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_catalogue_names_the_class_that_the_config_builds(entry, tiny) -> None:
    assert tiny(f"model={entry.name}").game._target_ == entry.game


@pytest.mark.parametrize("model", MODELS)
def test_takes_steps(model: str, tiny) -> None:
    """Every parameter of both players moves and stays finite. A last bias has no gradient where only differences count."""
    cfg = tiny(f"model={model}", "budget.images=160")
    before = {key: value.clone() for key, value in build(cfg).module.named_parameters()}
    module = fit(cfg).module
    still = {key for key, value in module.named_parameters() if torch.equal(value, before[key])}
    differences = any(word in cfg.loss._target_ for word in ("Wasserstein", "Relativistic"))
    assert still <= ({"discriminator.output.bias"} if differences else set())
    assert all(torch.isfinite(value).all() for value in module.parameters())
    assert module.images_seen == 160 and module.batches_seen == 20


@pytest.mark.parametrize("model", MODELS)
def test_saves_and_samples(model: str, tiny, tmp_path: Path) -> None:
    """How it goes on from a checkpoint is in test_exact_resume.py."""
    side = smallest_side(model)
    whole = fit(tiny(f"model={model}", f"dataset.resolution={side}", *CHECKPOINTS, "budget.images=80"))
    assert whole.trainer.global_step == 10

    labels = None if whole.module.labels.num_classes is None else [3, 1, 4, 1, 5]
    images = gan_lab.load(tmp_path / "run").sample(5, seed=1, labels=labels)
    assert images.shape == (5, 1, side, side) and images.dtype == torch.float32
    assert images.abs().max() <= 1
    latents = whole.module.latent.sample(gan_lab.noise.Noise(gan_lab.noise.mix(1), 5))
    expected = whole.module.generate(latents, None if labels is None else torch.tensor(labels))
    assert torch.allclose(images, expected, atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_checkpoints_hold_plain_data_and_the_config(model: str, tiny, tmp_path: Path) -> None:
    fit(tiny(f"model={model}", "budget.images=16", f"dataset.resolution={smallest_side(model)}", *CHECKPOINTS))
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["gan_lab"]["config"] == (tmp_path / "run" / "config.yaml").read_text()
    assert "${" not in checkpoint["gan_lab"]["config"]


@pytest.mark.parametrize("model", MODELS)
def test_trains_on_points(model: str, tiny) -> None:
    settings = ("dataset=ring", "architecture=mlp", "budget.images=80", *ON_POINTS.get(model, ()))
    module = fit(tiny(f"model={model}", *settings)).module
    assert module.generate(module.sample_latents(4, 0), module.sample_labels(4, 0)).shape == (4, 2)


def test_parts_with_memory_resume(tiny, tmp_path: Path) -> None:
    """What is neither a weight nor a counter: ADA's probability and sums, LeCam's averages, the mean of past weights."""
    parts = ("augment=ada", "augment.adapt_images=300", "regularizer=[lecam,historical_averaging,top_k]")
    settings = (*parts, "wrapper=[spectral_norm]", "dataset.resolution=8", *CHECKPOINTS, "budget.images=240")
    whole = fit(tiny(*settings, f"run.dir={tmp_path}/whole"))
    fit(tiny(*settings, "callbacks.budget.images=88", f"run.dir={tmp_path}/first"))
    second = fit(tiny(*settings, f"run.dir={tmp_path}/second", f"resume={tmp_path}/first"))
    a, b = whole.module.state_dict(), second.module.state_dict()
    assert {key.split(".")[0] for key in a} >= {"augment", "memories"} and a.keys() == b.keys()
    assert 0 < a["augment.controller.p"] < 1
    for key, value in a.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, b[key]), key
        else:
            assert all(torch.equal(torch.as_tensor(v), torch.as_tensor(b[key][name])) for name, v in value.items()), key
