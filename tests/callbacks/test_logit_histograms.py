"""Histograms of logits are those of the networks, and do not affect training."""

from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan_lab.callbacks.logit_histograms import HISTOGRAM_LATENTS, LogitHistograms
from gan_lab.config.compose import compose
from gan_lab.training.fit import fit
from tests.conftest import TINY

WATCHED = ("callbacks=monitored", "~callbacks.collapse_watch", "callbacks.logit_histograms.samples=9")


def test_logits_of_the_networks_with_their_labels(tmp_path: Path) -> None:
    overrides = [
        *TINY,
        *WATCHED,
        "conditioning=projection",
        "conditioning.num_classes=10",
        "logger=[tensorboard]",
        "dataset.resolution=8",
        f"run.dir={tmp_path}",
    ]
    experiment = fit(compose(*overrides, "budget.images=16", "callbacks.logit_histograms.every_images=16"))
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"histograms": 0}).Reload()
    module = experiment.module
    with torch.no_grad():
        latents, condition = module.sample_inputs(9, module.seed, HISTOGRAM_LATENTS)
        fake = module.score(module.generate(latents, condition, average=False), condition)
        images, labels = next(experiment.data.reals(9, 9))
        real = module.score(images, labels)
    for key, logits in {"logits/fake": fake, "logits/real": real}.items():
        assert logits is not None
        (event,) = events.Histograms(key)
        values = event.histogram_value
        assert event.step == 16 and values.num == 9
        assert (values.min, values.max) == pytest.approx((logits.min().item(), logits.max().item()), abs=1e-5)


def test_packs_of_samples_have_no_histogram(tmp_path: Path) -> None:
    overrides = [*TINY, *WATCHED, "model=pacgan", "logger=[tensorboard]", "dataset.resolution=8", f"run.dir={tmp_path}"]
    fit(compose(*overrides, "budget.images=16", "callbacks.logit_histograms.every_images=16"))
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"histograms": 0}).Reload()
    assert events.Tags()["histograms"] == []


def test_a_number_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"callbacks.logit_histograms.samples=0 .*at least 1"):
        LogitHistograms(100, samples=0)
