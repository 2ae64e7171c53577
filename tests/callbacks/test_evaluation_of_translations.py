"""Evaluation of a generator with images as conditions: held-out pairs, and the untranslated images as a baseline."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gan_lab.callbacks.collapse import Collapse
from gan_lab.callbacks.collapse_watch import CollapseWatch
from gan_lab.callbacks.evaluation import EVALUATED_LATENTS, Evaluation
from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.metrics.pairs import FeatureDistances, PixelDistances, psnr
from gan_lab.metrics.pixels import quantized
from gan_lab.noise import Noise, mix
from tests.gans.test_image_condition import Data, blur, digits, fit, make
from tests.helpers.pixel_features import pixel_features


class HeldOutDigits(Data):
    """Digits 32 to 52 are the split `test`."""

    held_out_size = 20
    held_out_split = "test"
    has_pairs = True
    source, content_hash = "digits", None

    def held_out_pairs(self, count: int | None, batch_size: int) -> Iterator[dict[str, Tensor]]:
        images = digits(52)[32:][:count]
        for part in images.split(batch_size):
            yield {"image": part, "blurred": blur(part)}

    def reals(self, count: int, batch_size: int) -> Iterator[Any]:
        raise AssertionError("metrics compare with the held-out pairs")


pytestmark = pytest.mark.filterwarnings("ignore:Found .* in eval mode")


def metrics() -> dict[str, Any]:
    return {
        "pairs": PixelDistances(),
        "near": FeatureDistances(pixel_features()),
        "fd": FrechetDistance(pixel_features()),
    }


def test_translations_of_held_out_sources_are_measured(tmp_path: Path) -> None:
    module = make()
    evaluation = Evaluation(
        metrics(), str(tmp_path), 16, samples=1000, every_images=8, batch_size=8, max_time_fraction=1
    )
    fit(module, 2, evaluation, Collapse(16, every_images=8), CollapseWatch(16, every_images=8), data=HeldOutDigits())

    results = json.loads((tmp_path / "results.json").read_text())
    names = {"pairs_l1", "pairs_psnr", "pairs_ssim", "near_pixels_cosine", "near_pixels_squared", "fd_pixels"}
    assert set(results) == {f"eval/{kind}{name}_20" for kind in ("", "raw/", "copy/") for name in names}

    images, sources = digits(52)[32:], blur(digits(52)[32:])
    latents = module.latent.sample(Noise(mix(module.seed, EVALUATED_LATENTS), 20))
    pixels = [quantized(each).double() / 255 for each in (images, sources, module.generate(latents, sources))]
    for key, samples in {"eval/pairs_psnr_20": pixels[2], "eval/copy/pairs_psnr_20": pixels[1]}.items():
        assert results[key]["value"] == pytest.approx(float(psnr(samples, pixels[0]).mean()))
    fd = FrechetDistance(pixel_features())
    fd.update(images, real=True)
    fd.update(sources)
    assert results["eval/copy/fd_pixels_20"]["value"] == pytest.approx(float(fd.compute()))
    found = results["eval/fd_pixels_20"]
    assert (found["samples"], found["real_images"], found["real_split"], found["sources"]) == (20, 20, "test", "test")
    assert results["eval/copy/pairs_l1_20"]["weights"] == "copy"


def test_training_pairs_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Train(HeldOutDigits):
        held_out_split = None

    caplog.set_level("INFO")
    evaluation = Evaluation({"pairs": PixelDistances()}, str(tmp_path), 8, samples=4, batch_size=8, max_time_fraction=1)
    fit(make(), 1, evaluation, data=Train())
    assert "The metrics are of 4 images that training uses, since the data set has no others" in caplog.text
    assert json.loads((tmp_path / "results.json").read_text())["eval/pairs_l1_4"]["sources"] == "train"


def test_more_examples_are_read_when_more_are_asked_for() -> None:
    module = make()
    fit(module, 1, data=HeldOutDigits())
    first = module.examples(4)["image"]
    assert torch.equal(module.examples(8)["image"], digits(8)) and torch.equal(first, digits(4))
