"""Every model of the catalogue takes steps, saves, resumes and samples, as its own config says."""

from pathlib import Path

import pytest
import torch

import gan_lab
from gan_lab.config.build import build
from gan_lab.config.fit import fit
from gan_lab.config.schema import CONF
from gan_lab.gans.catalogue import CATALOGUE

MODELS = [entry.name for entry in CATALOGUE]
CHECKPOINTS = (
    "+callbacks.checkpoints._target_=gan_lab.callbacks.checkpoints.Checkpoints",
    "+callbacks.checkpoints.folder=${run.dir}/checkpoints",
    "+callbacks.checkpoints.config_file=${run.dir}/config.yaml",
    "+callbacks.checkpoints.budget_images=${budget.images}",
    "+callbacks.checkpoints.every_images=64",  # so that the last one is there because the run ends
)


def test_catalogue_and_configs_name_the_same_models() -> None:
    assert sorted(MODELS) == sorted(file.stem for file in (CONF / "model").glob("*.yaml"))


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_catalogue_names_the_class_that_the_config_builds(entry, tiny) -> None:
    assert tiny(f"model={entry.name}").game._target_ == entry.game


@pytest.mark.parametrize("model", MODELS)
def test_takes_steps(model: str, tiny) -> None:
    """Every parameter of both players moves and stays finite. A critic's last bias has no gradient under a difference of means."""
    cfg = tiny(f"model={model}", "budget.images=160")
    before = {key: value.clone() for key, value in build(cfg).module.named_parameters()}
    module = fit(cfg).module
    still = {key for key, value in module.named_parameters() if torch.equal(value, before[key])}
    wasserstein = "Wasserstein" in cfg.loss._target_
    assert still <= ({"discriminator.output.bias"} if wasserstein else set())
    assert all(torch.isfinite(value).all() for value in module.parameters())
    assert module.images_seen == 160 and module.batches_seen == 20


@pytest.mark.parametrize("model", MODELS)
def test_saves_resumes_and_samples(model: str, tiny, tmp_path: Path) -> None:
    """Stopped in the middle of an epoch and resumed, a run ends with the weights of an uninterrupted one, bit for bit."""
    settings = (f"model={model}", "dataset.resolution=8", *CHECKPOINTS)
    whole = fit(tiny(*settings, "budget.images=240", f"run.dir={tmp_path}/whole"))
    fit(tiny(*settings, "budget.images=88", f"run.dir={tmp_path}/first"))
    second = fit(tiny(*settings, "budget.images=240", f"run.dir={tmp_path}/second", f"resume={tmp_path}/first"))
    for (key, a), (_, b) in zip(whole.module.named_parameters(), second.module.named_parameters(), strict=True):
        assert torch.equal(a, b), key
    assert second.module.images_seen == 240 == whole.module.images_seen
    assert second.trainer.global_step == whole.trainer.global_step == 30

    images = gan_lab.load(tmp_path / "second").sample(5, seed=1)
    assert images.shape == (5, 1, 8, 8) and images.dtype == torch.float32
    assert images.abs().max() <= 1
    latents = whole.module.latent.sample(gan_lab.noise.Noise(gan_lab.noise.mix(1), 5))
    assert torch.allclose(images, whole.module.generate(latents), atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_checkpoints_hold_plain_data_and_the_config(model: str, tiny, tmp_path: Path) -> None:
    fit(tiny(f"model={model}", "budget.images=16", "dataset.resolution=8", *CHECKPOINTS))
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["gan_lab"]["config"] == (tmp_path / "run" / "config.yaml").read_text()
    assert "${" not in checkpoint["gan_lab"]["config"]


@pytest.mark.parametrize("model", MODELS)
def test_trains_on_points(model: str, tiny) -> None:
    module = fit(tiny(f"model={model}", "dataset=ring", "architecture=mlp", "budget.images=80")).module
    assert module.generate(module.sample_latents(4, 0)).shape == (4, 2)
