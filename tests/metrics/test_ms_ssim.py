"""MS-SSIM of pairs of images: against NumPy and SciPy, and for equal and unrelated images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from torch import Tensor

from gan_lab.metrics.ms_ssim import MSSSIM, ms_ssim
from gan_lab.metrics.pixels import filtered, quantized
from tests.helpers import pixel_metrics_in_two_processes
from tests.helpers.distributed import run_in_two_processes
from tests.helpers.pixel_metrics_in_two_processes import HALF, metric, samples
from tests.references.images import ms_ssim as reference
from tests.references.images import window


def noise(n: int, resolution: int = 32, channels: int = 3, seed: int = 0) -> Tensor:
    """Integers 0..255 as float32."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (n, channels, resolution, resolution), generator=generator).float()


def smooth(n: int, resolution: int, channels: int, seed: int) -> Tensor:
    """Low-frequency images, whose covariance at coarse scales is often negative."""
    return (
        torch.nn.functional.interpolate(noise(n, 4, channels, seed), resolution, mode="bicubic").clamp(0, 255).round()
    )


@pytest.mark.parametrize("resolution", [16, 32, 48, 80])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_pair_equals_numpy(resolution: int, channels: int) -> None:
    """At 16 pixels windows shrink from the second scale on, and the last is a single pixel."""
    a = torch.cat([noise(2, resolution, channels), smooth(3, resolution, channels, 1)])
    b = torch.cat([a[:1] * 0.5 + 40, noise(1, resolution, channels, 2), smooth(3, resolution, channels, 3)])
    expected = [reference(*pair) for pair in zip(a.double().numpy(), b.double().numpy(), strict=True)]
    assert max(expected) > 0.3
    torch.testing.assert_close(ms_ssim(a, b), torch.tensor(expected, dtype=torch.float64), rtol=1e-7, atol=1e-10)


def test_window_of_rectangles_fits_the_shorter_side() -> None:
    a, b = noise(1, 64)[:, :, :32], noise(1, 64)[:, :, :32] * 0.7 + 9
    expected = reference(*(image[0].double().numpy() for image in (a, b)))
    assert float(ms_ssim(a, b)) == pytest.approx(expected, rel=1e-9)


def test_filter_is_a_convolution_without_padding() -> None:
    image = noise(1, 16, 1).double()
    expected = convolve2d(image[0, 0].numpy(), window(5), mode="valid")
    one = np.exp(-((np.arange(5) - 2) ** 2) / (2 * (1.5 * 5 / 11) ** 2))
    np.testing.assert_allclose(filtered(image, list(one / one.sum()))[0, 0].numpy(), expected, rtol=1e-12)


def test_equal_images_have_1_and_order_has_no_effect() -> None:
    a, b = noise(4), smooth(4, 32, 3, 5)
    torch.testing.assert_close(ms_ssim(a, a), torch.ones(4, dtype=torch.float64), rtol=1e-12, atol=0)
    torch.testing.assert_close(ms_ssim(a, b), ms_ssim(b, a), rtol=1e-12, atol=0)
    assert (ms_ssim(a, (a + 3).clamp(max=255)) < 1).all()


def test_noise_differs_from_constants_and_other_noise() -> None:
    for gray, most in ((0.0, 0.1), (128.0, 0.2)):  # at the coarsest scale noise is nearly the constant 128
        assert ms_ssim(noise(8, 64), torch.full((8, 3, 64, 64), gray)).max() < most
    assert ms_ssim(noise(8, 64), noise(8, 64, seed=1)).mean() < 0.1
    assert ms_ssim(255 - noise(8, 64), noise(8, 64)).max() == 0  # a negative contrast term counts as 0


@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (2, 3, 32, 40), (2, 3, 8, 8), (2, 3, 32), (2, 3, 0, 0)])
def test_resolutions_that_cannot_be_halved_are_refused(shape: tuple[int, ...]) -> None:
    images = torch.zeros(shape)
    for use in (lambda: ms_ssim(images, images), lambda: MSSSIM().update(images)):
        with pytest.raises(
            ValueError, match=r"^MS-SSIM halves images \(n, C, H, W\) four times.*multiples of 16; these"
        ):
            use()


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^MS-SSIM compares images of one shape"):
        ms_ssim(noise(2), noise(1))


# --- metric


def in_unit_range(images: Tensor) -> Tensor:
    return images / 127.5 - 1


def test_metric_is_the_mean_over_neighbors_for_all_batch_sizes() -> None:
    images = torch.cat([smooth(20, 32, 3, 7), noise(1)])
    expected = ms_ssim(images[0:20:2], images[1:20:2]).mean()
    for batch in (1, 3, 4, 21):
        metric = MSSSIM()
        for part in in_unit_range(images).split(batch):
            metric.update(part)
        torch.testing.assert_close(metric.compute(), expected, rtol=1e-12, atol=0)
        assert metric.protocol == {"pairs": 10}  # the last image has no partner


def test_many_pairs_in_one_update_count_once_each() -> None:
    images = smooth(200, 16, 1, 8)
    metric = MSSSIM()
    metric.update(in_unit_range(images))
    torch.testing.assert_close(metric.compute(), ms_ssim(images[::2], images[1::2]).mean(), rtol=1e-12, atol=0)
    assert metric.protocol == {"pairs": 100}


def test_with_labels_pairs_of_a_class_are_compared_as_well() -> None:
    """Also across batches; images without a partner wait for it."""
    images, labels = smooth(12, 16, 1, 3), torch.tensor([2, 0, 1, 0, 2, 2, 1, 0, 0, 2, 0, 1])
    expected = ms_ssim(images[[1, 7, 2, 0, 5]], images[[3, 8, 6, 4, 9]]).mean()
    for batch in (1, 5, 12):
        metric = MSSSIM()
        for part, own in zip(in_unit_range(images).split(batch), labels.split(batch), strict=True):
            metric.update(part, labels=own)
        overall = ms_ssim(images[::2], images[1::2]).mean()
        torch.testing.assert_close(metric.compute(), {"": overall, "in_class": expected}, rtol=1e-12, atol=0)
        assert metric.protocol == {"pairs": 6}


def test_the_ideal_values_are_those_of_real_pairs() -> None:
    """Real images sorted by class, each class of one image: pairs of a class are equal, and random ones differ."""
    kinds, labels = smooth(4, 16, 1, 3), torch.arange(4).repeat_interleave(50)
    metric, unlabeled = MSSSIM(), MSSSIM()
    for part, own in zip(in_unit_range(kinds[labels]).split(64), labels.split(64), strict=True):
        metric.update(part, real=True, labels=own)
        unlabeled.update(part, real=True)
    between = torch.stack([ms_ssim(kinds[[a]], kinds[[b]]) for a in range(4) for b in range(4)]).mean()
    ideal = metric.ideal_values()
    assert float(ideal[""]) == pytest.approx(float(between), abs=0.05) and between < 0.6
    assert float(ideal["in_class"]) == pytest.approx(1) and unlabeled.ideal_values() == {"": ideal[""]}
    metric.update(in_unit_range(kinds))
    metric.reset_generated()
    assert metric.ideal_values() == ideal and metric.protocol == {"pairs": 0, "real_subset": 200}
    metric.reset()
    assert metric.ideal_values() == {}


def test_a_random_subset_of_the_real_images_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_lab.metrics.ms_ssim.REAL_IMAGES", 40)
    values = torch.arange(200.0).view(-1, 1, 1, 1).expand(-1, 1, 16, 16)
    kept = []
    for batch in (7, 200):
        metric = MSSSIM()
        for part in in_unit_range(values).split(batch):
            metric.update(part, real=True)
        kept.append(metric.real_state()["images"][:, 0, 0, 0].tolist())
    assert kept[0] == kept[1] and len(set(kept[0])) == 40
    assert sum(value < 100 for value in kept[0]) in range(12, 29) and kept[0] != sorted(kept[0])


def test_reset_drops_the_image_without_a_partner() -> None:
    metric = MSSSIM()
    metric.update(in_unit_range(noise(3)))
    metric.reset()
    metric.update(in_unit_range(noise(1, seed=4)))
    assert metric.protocol == {"pairs": 0} and metric.compute().isnan()


def test_fewer_kinds_of_images_raise_the_value() -> None:
    values = []
    for kinds in (1, 4, 40):
        metric = MSSSIM()
        choice = torch.randint(kinds, (80,), generator=torch.Generator().manual_seed(0))
        metric.update(in_unit_range(smooth(40, 32, 3, 9)[choice]))
        values.append(float(metric.compute()))
    assert values[0] == pytest.approx(1) and values[0] > values[1] > values[2]


def test_images_are_quantized_like_files() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(quantized(pixels.float() / 127.5 - 1), pixels)
    assert quantized(torch.tensor([-3.0, -1.0, 0.0039, 1.0, 7.0])).tolist() == [0, 0, 128, 255, 255]
    with pytest.raises(ValueError, match=r"^Images must be floats in \[-1, 1\]; these are torch.uint8\.$"):
        quantized(pixels)


def test_two_processes_have_the_values_of_one(tmp_path: Path) -> None:
    run_in_two_processes(pixel_metrics_in_two_processes.main, tmp_path)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    generated, real = samples()
    assert HALF % 2 == 0  # so that the pairs are those of one process
    similarity, distance = MSSSIM(), metric()
    similarity.update(generated)
    distance.update(generated)
    distance.update(real, real=True)
    for values in found:
        torch.testing.assert_close(values["similarity"], similarity.compute(), rtol=1e-14, atol=0)
        assert values["pairs"].tolist() == [25, 0]
        assert values["shared"] == distance.compute()  # bit for bit
        assert values["loaded"] == distance.compute()
