"""Metrics of pairs: closed forms, SSIM against SciPy, and what they refuse."""

import math

import pytest
import torch
from torch import Tensor

from gan_lab.errors import ConfigError
from gan_lab.metrics.held_out import Translated
from gan_lab.metrics.measuring import measure, measurements
from gan_lab.metrics.pairs import EXACT_PSNR, FeatureDistances, PixelDistances, ssim
from gan_lab.metrics.protocol import MeasurementProtocol
from tests.helpers.pixel_features import pixel_features
from tests.references.images import ssim as reference_ssim


def images(n: int, size: int = 16, channels: int = 3, seed: int = 0) -> Tensor:
    """Images of pixel values k / 255 on the scale [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, channels, size, size), generator=generator) / 127.5 - 1


def values(samples: Tensor, targets: Tensor) -> dict[str, float]:
    metric = PixelDistances()
    metric.update(samples, targets)
    return {name: float(value) for name, value in metric.compute().items()}


def test_images_that_equal_their_targets() -> None:
    assert values(images(3), images(3)) == pytest.approx({"l1": 0, "psnr": EXACT_PSNR, "ssim": 1}, abs=1e-12)
    metric = FeatureDistances(pixel_features())
    metric.update(images(3), images(3))
    assert {name: float(value) for name, value in metric.compute().items()} == pytest.approx(
        {"cosine": 0, "squared": 0}, abs=1e-12
    )


def test_a_constant_error() -> None:
    """51 of 255 gray values, 0.4 on the scale of the images, are 0.2: an error of 0.04 in the square."""
    targets = images(3).clamp(max=-51 / 255)
    found = values(targets + 0.4, targets)
    assert found["l1"] == pytest.approx(0.2) and found["psnr"] == pytest.approx(-10 * math.log10(0.04))


def test_constant_images_have_the_luminance_term_of_ssim() -> None:
    a, b = 51 / 255, 153 / 255
    pair = (torch.full((1, 1, 16, 16), 2 * value - 1) for value in (a, b))
    assert values(*pair)["ssim"] == pytest.approx((2 * a * b + 1e-4) / (a * a + b * b + 1e-4))


def test_psnr_is_the_mean_over_images_and_counts_exact_ones_as_its_limit() -> None:
    targets = images(2).clamp(max=-51 / 255)
    found = values(targets + torch.tensor([0.4, 0.0]).view(2, 1, 1, 1), targets)
    assert found["psnr"] == pytest.approx((-10 * math.log10(0.04) + EXACT_PSNR) / 2)


def test_ssim_is_that_of_scipy() -> None:
    a = images(2, 20, 1) / 2 + 0.5
    b = (a + 0.3 * images(2, 20, 1, seed=1)).clamp(0, 1)
    expected = [reference_ssim(x[0].double().numpy(), y[0].double().numpy()) for x, y in zip(a, b, strict=True)]
    assert ssim(a, b).tolist() == pytest.approx(expected, rel=1e-5)
    assert ssim(a[:1], b[:1]).shape == (1,)


def test_distances_of_features() -> None:
    """Features are the pixels: known angles and squared differences."""
    metric = FeatureDistances()
    metric.update(torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 2.0], [3.0, 3.0]]))
    found = metric.compute()
    assert float(found["cosine"]) == pytest.approx(0.5) and float(found["squared"]) == pytest.approx((2.5 + 4) / 2)


def test_batches_add_up_and_generated_images_are_dropped() -> None:
    a, b = images(5), images(5, seed=1)
    metrics = {"pairs": PixelDistances(), "pair_features": FeatureDistances(pixel_features())}
    entire = measure(metrics, [Translated(a, a, b)])
    parts = measure(metrics, [Translated(a[:2], a[:2], b[:2]), Translated(a[2:], a[2:], b[2:])])
    for name, found in entire.items():
        assert parts[name] == pytest.approx(found)
    assert set(entire["pairs"]) == {"pairs_l1_5", "pairs_psnr_5", "pairs_ssim_5"}
    assert set(entire["pair_features"]) == {"pair_features_pixels_cosine_5", "pair_features_pixels_squared_5"}
    found = measurements(metrics, entire, MeasurementProtocol(samples=5, weights="ema"), {"real_split": "test"})
    assert found["pairs_ssim_5"].ideal_value == 1 and found["pairs_ssim_5"].protocol.options["ssim_window"] == 11
    assert found["pair_features_pixels_cosine_5"].protocol.extractor == "pixels"


def test_samples_without_targets_are_refused() -> None:
    sentence = "^metrics=pairs compares translations with their targets, and these samples have none: .*dataset=paired"
    for chunk in ((images(2), None), Translated(images(2), images(2), None)):
        with pytest.raises(ConfigError, match=sentence):
            measure({"pairs": PixelDistances()}, [chunk])
    with pytest.raises(ConfigError, match=r"must have one shape, but these have \(3, 16, 16\) and \(1, 16, 16\)"):
        measure({"pairs": PixelDistances()}, [Translated(images(2), images(2), images(2, channels=1))])
    with pytest.raises(ConfigError, match=r"SSIM needs images of at least 6 pixels; these are 5"):
        measure({"pairs": PixelDistances()}, [Translated(images(2, 5), images(2, 5), images(2, 5))])
