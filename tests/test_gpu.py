"""What differs on a CUDA device: precision, caches, sampling. Run with `make gpu`."""

from pathlib import Path
from typing import Any

import pytest
import torch

import gan_lab
from gan_lab.config.compose import compose
from gan_lab.gans.base import AdversarialModule
from gan_lab.gans.catalog import CATALOG
from gan_lab.training.fit import fit
from tests.helpers.model_data import needs_sources, small_data

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

SMALL = ("width=16", "batch_size=16", "budget.images=320", "logger=[]", "callbacks.sample_grids.count=4")


@pytest.mark.parametrize("hardware", ["gpu", "gpu_bf16", "gpu_fp16"])
@pytest.mark.parametrize("model", [entry.name for entry in CATALOG])
def test_trains_at_every_precision(model: str, hardware: str, tmp_path: Path) -> None:
    data = small_data(model) if needs_sources(model) else ()
    module = fit(compose(f"model={model}", *data, f"hardware={hardware}", *SMALL, f"run.dir={tmp_path}")).module
    assert all(torch.isfinite(p).all() for p in module.parameters())
    assert module.images_seen == 320
    condition = module.sample_inputs(4, 0)[1] if needs_sources(model) else None
    images = gan_lab.load(tmp_path).sample(4, condition=condition)
    assert images.device.type == "cpu" and torch.isfinite(images).all()


@pytest.mark.parametrize("cache", ["device", "memory", "none"])
def test_every_cache_gives_the_same_run(cache: str, tmp_path: Path) -> None:
    weights = []
    for name in (cache, "memory"):
        settings = (f"dataset.cache={name}", "hardware=gpu", *SMALL, f"run.dir={tmp_path}/{name}")
        weights.append(fit(compose(*settings)).module.generator.state_dict())
    for key, value in weights[0].items():
        assert torch.allclose(value, weights[1][key], atol=1e-4), key


def test_the_same_samples_on_both_devices(tmp_path: Path) -> None:
    fit(compose("hardware=gpu", *SMALL, f"run.dir={tmp_path}"))
    on_gpu, on_cpu = (gan_lab.load(tmp_path, device=device).sample(8, seed=3) for device in ("cuda", "cpu"))
    assert torch.allclose(on_gpu, on_cpu, atol=1e-2)


def test_a_checkpoint_resumes_exactly(tmp_path: Path) -> None:
    settings = ("model=wgan_gp", "hardware=gpu", *SMALL[:2], "logger=[]")
    uninterrupted = fit(compose(*settings, "budget.images=160", f"run.dir={tmp_path}/uninterrupted")).module
    fit(compose(*settings, "budget.images=80", f"run.dir={tmp_path}/first"))
    second = (f"run.dir={tmp_path}/second", f"resume={tmp_path}/first/checkpoints/last.ckpt")
    resumed = fit(compose(*settings, "budget.images=160", *second)).module
    for (key, a), (_, b) in zip(uninterrupted.named_parameters(), resumed.named_parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5), key


@pytest.mark.parametrize("value", ["true", "cudagraphs"])
def test_compiled_networks_train_like_eager_ones(value: str, tmp_path: Path) -> None:
    settings = ("model=gan", "architecture=mlp", "dataset=ring", "hardware=gpu", *SMALL[1:4])
    eager, compiled = (
        fit(compose(*settings, f"run.dir={tmp_path}/{each}", f"hardware.compile={each}")).module
        for each in ("false", value)
    )
    for (key, a), (_, b) in zip(eager.named_parameters(), compiled.named_parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-3), key


def test_no_step_waits_for_the_device(monkeypatch, tmp_path: Path) -> None:
    """From the third batch on, without the check for non-finite values, which reads one number in each update."""
    step = AdversarialModule.training_step

    def watched(module: AdversarialModule, batch: Any, batch_idx: int) -> None:
        torch.cuda.set_sync_debug_mode("error" if module.batches_seen >= 2 else "default")
        try:
            step(module, batch, batch_idx)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(AdversarialModule, "training_step", watched)
    settings = (
        "model=gan",
        "architecture=mlp",
        "dataset=ring",
        "hardware=gpu",
        "trouble.check_finite=false",
        *SMALL[1:4],
    )
    assert fit(compose(*settings, f"run.dir={tmp_path}")).module.images_seen == 320
