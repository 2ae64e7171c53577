"""Sliced Wasserstein distance: against SciPy on tiny images, and the differences it does and does not detect."""

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from gan_lab.metrics import sliced_wasserstein as module
from gan_lab.metrics.pixels import quantized
from gan_lab.metrics.sliced_wasserstein import (
    SlicedWasserstein,
    descriptors,
    laplacian_pyramid,
    normalized,
    scales,
    sliced_wasserstein,
    sorted_by_hash,
    unit_directions,
)
from tests.references.images import laplacian_pyramid as scipy_pyramid


def images(n: int, resolution: int = 32, channels: int = 3, seed: int = 0) -> Tensor:
    """Noise over smooth images in [-1, 1], exactly quantized."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, channels, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, resolution, mode="bilinear")
    noisy = smooth + 0.05 * torch.randn(smooth.shape, generator=generator)
    return quantized(2 * noisy - 1).float() / 127.5 - 1


def distance(real: Tensor, generated: Tensor, batch: int = 50, **options: int) -> dict[str, float]:
    metric = SlicedWasserstein(**({"patches": 16, "directions": 32} | options))
    for part in real.split(batch):
        metric.update(part, real=True)
    for part in generated.split(batch):
        metric.update(part)
    return {key: float(value) for key, value in metric.compute().items()}


# --- pyramid


def test_pyramid_equals_scipy() -> None:
    pixels = 255 * torch.rand(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = scipy_pyramid(pixels.numpy(), 3)
    for ours, theirs in zip(laplacian_pyramid(pixels, 3), expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=1e-11)
    for ours, theirs in zip(laplacian_pyramid(pixels.float(), 3), expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=1e-4)


def test_constant_images_have_only_the_coarsest_level() -> None:
    fine, middle, coarse = laplacian_pyramid(torch.full((1, 1, 64, 64), 77.0), 3)
    assert not fine.any() and not middle.any() and bool((coarse == 77).all())


def test_scales_end_at_sixteen_pixels() -> None:
    assert scales(64) == [64, 32, 16] and scales(16) == [16] and scales(28) == [28] and scales(100) == [100, 50, 25]
    for resolution in (8, 15, 33, 66, 84 + 1):
        with pytest.raises(ValueError, match=f"^Images of {resolution} pixels have no pyramid"):
            scales(resolution)


# --- descriptors


def test_descriptors_are_patches_at_the_drawn_positions() -> None:
    level = torch.rand(3, 2, 16, 16, generator=torch.Generator().manual_seed(0))
    rows, columns = torch.tensor([[0, 9], [4, 1], [9, 9]]), torch.tensor([[9, 0], [2, 7], [9, 0]])
    found = descriptors(level, rows, columns)
    assert found.shape == (6, 2, 7, 7)
    for k in range(3):
        for p in range(2):
            r, c = int(rows[k, p]), int(columns[k, p])
            assert torch.equal(found[2 * k + p], level[k, :, r : r + 7, c : c + 7])


def test_normalized_sets_have_mean_0_and_variance_1_in_each_channel() -> None:
    patches = torch.rand(50, 3, 7, 7, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 9, 0]).view(
        3, 1, 1
    )
    rows = normalized(patches)
    assert rows.shape == (50, 147)
    channels = rows.view(50, 3, 49).double().numpy()
    np.testing.assert_allclose(channels.mean((0, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(channels.std((0, 2)), [1, 1, 0], atol=1e-5)  # a constant channel: 0, and no NaN
    expected = patches.numpy().astype(np.float64)
    expected -= expected.mean((0, 2, 3), keepdims=True)
    expected /= np.maximum(expected.std((0, 2, 3), keepdims=True), 1e-30)
    np.testing.assert_allclose(rows.numpy(), expected.reshape(50, -1), atol=1e-5)


# --- distance


def test_distance_along_each_direction_equals_scipy() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (
        torch.randn(200, 5, dtype=torch.float64, generator=generator),
        torch.rand(200, 5, generator=generator).double(),
    )
    directions = unit_directions(5, 37, generator).double()  # more than one chunk
    expected = [wasserstein_distance((a @ d).numpy(), (b @ d).numpy()) for d in directions.T]
    assert float(sliced_wasserstein(a, b, directions)) == pytest.approx(np.mean(expected), rel=1e-12)


def test_distance_of_a_shift_is_its_mean_projection() -> None:
    points = torch.randn(100, 4, generator=torch.Generator().manual_seed(0)).double()
    assert float(sliced_wasserstein(points, points + 3, torch.eye(4).double())) == pytest.approx(3)
    shuffled = points[torch.randperm(100)]
    assert float(sliced_wasserstein(points, shuffled, torch.eye(4).double())) == 0


def test_directions_are_uniform_and_of_length_1() -> None:
    directions = unit_directions(147, 4000, torch.Generator().manual_seed(0)).double()
    np.testing.assert_allclose(directions.norm(dim=0).numpy(), 1, atol=1e-6)
    second = directions @ directions.T / 4000
    np.testing.assert_allclose(second.numpy(), np.eye(147) / 147, atol=6 / 147 / np.sqrt(4000))


@pytest.mark.parametrize(("count", "expected"), [(1024, 56.0), (4096, 28.0)])
def test_two_samples_of_one_distribution_have_the_known_distance(count: int, expected: float) -> None:
    """28.0 thousandths for 4,096 descriptors of 147 normal numbers; about proportional to 1 / sqrt(n)."""
    generator = torch.Generator().manual_seed(1)
    a, b = (normalized(torch.randn(count, 3, 7, 7, generator=generator)) for _ in range(2))
    value = 1000 * float(sliced_wasserstein(a, b, unit_directions(147, 512, generator)))
    assert value == pytest.approx(expected, rel=0.08)


# --- metric


def test_distance_equals_scipy_on_tiny_images() -> None:
    """Everything is computed independently, except for the metric's random numbers, which are recorded."""
    real, generated = images(5, 32), images(5, 32, seed=1) ** 2
    drawn: list[tuple[Tensor, ...]] = []
    original = module.descriptors, module.unit_directions

    def spy_places(level: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        drawn.append((rows, columns))
        return original[0](level, rows, columns)

    def spy_directions(*given) -> Tensor:
        drawn.append((original[1](*given),))
        return drawn[-1][0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "descriptors", spy_places)
        patch.setattr(module, "unit_directions", spy_directions)
        found = distance(real, generated, patches=4, directions=6)
    pyramids = [scipy_pyramid(np.float64(sorted_by_hash(quantized(part)).numpy()), 2) for part in (real, generated)]
    expected = {}
    for level, resolution in enumerate((32, 16)):
        (directions,), *places = drawn[3 * level : 3 * level + 3]
        rows = []
        for pyramid, (first_row, first_column) in zip(pyramids, places, strict=True):
            assert first_row.min() >= 0 and first_row.max() <= resolution - 7
            patches = np.stack(
                [
                    pyramid[level][k, :, r : r + 7, c : c + 7]
                    for k in range(5)
                    for r, c in zip(first_row[k].tolist(), first_column[k].tolist(), strict=True)
                ]
            )
            patches = (patches - patches.mean((0, 2, 3), keepdims=True)) / patches.std((0, 2, 3), keepdims=True)
            rows.append(patches.reshape(20, 147))
        lines = directions.T.double().numpy()
        expected[str(resolution)] = 1000 * np.mean(
            [wasserstein_distance(rows[0] @ line, rows[1] @ line) for line in lines]
        )
    expected["mean"] = (expected["32"] + expected["16"]) / 2
    assert found == pytest.approx(expected, rel=1e-4)


def test_positions_cover_the_entire_image(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = module.descriptors
    monkeypatch.setattr(module, "descriptors", lambda *given: seen.append(given[1:]) or original(*given))
    distance(images(30, 16), images(30, 16, seed=1), patches=64)
    for place in seen[0]:
        counts = torch.bincount(place.flatten(), minlength=10)
        assert len(counts) == 10 and counts.min() > 0.75 * 192  # 1920 draws of 0..9
        assert len({tuple(row.tolist()) for row in place}) == 30  # different positions in every image


def test_order_of_images_has_no_effect() -> None:
    real, generated = images(40), images(40, seed=1)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert distance(real, real[order]) == {"32": 0, "16": 0, "mean": 0}
    assert distance(real, generated) == distance(real, generated[order], batch=7) != distance(real, real)


def test_changes_of_brightness_and_contrast_are_not_detected() -> None:
    """By the paper's normalization: 0 at equal positions, else no more than between sets of one distribution."""
    pixels, like = (quantized(images(100, seed=seed)).double() // 2 for seed in (0, 1))  # 0..127
    changed = 2 * pixels + 1
    colors = changed + 10 * torch.arange(3.0).view(3, 1, 1)
    rows, columns = torch.randint(10, (2, 100, 8), generator=torch.Generator().manual_seed(1))
    directions = unit_directions(147, 32, torch.Generator().manual_seed(2)).double()
    for levels in zip(laplacian_pyramid(pixels, 2), laplacian_pyramid(colors, 2), strict=True):
        a, b = (normalized(descriptors(level, rows, columns)) for level in levels)
        assert float(sliced_wasserstein(a, b, directions)) < 1e-12
    first, second, third = ((part / 127.5 - 1).float() for part in (pixels, changed, like))
    assert distance(first, second)["mean"] < 1.1 * distance(first, third)["mean"]


def test_blur_is_detected_at_its_scale() -> None:
    real, other = images(200, 64), images(200, 64, seed=1)
    blurred = torch.nn.functional.avg_pool2d(other, 5, 1, 2, count_include_pad=False)
    clean, found = distance(real, other), distance(real, blurred)
    assert found["64"] > 3 * clean["64"] and found["16"] < 1.1 * clean["16"]
    assert found["mean"] == pytest.approx((found["64"] + found["32"] + found["16"]) / 3)


def test_seed_determines_positions_and_directions() -> None:
    real, generated = images(40), images(40, seed=1)
    first, second = distance(real, generated), distance(real, generated, seed=1)
    assert first["mean"] != second["mean"] and first["mean"] == pytest.approx(second["mean"], rel=0.3)


def test_both_sets_are_cut_to_the_same_number_of_images() -> None:
    real, generated = images(60), images(60, seed=1)
    expected = distance(real[:30], generated[:30])
    assert distance(real, generated, images=30, batch=7) == expected
    assert distance(real[:30], generated) == expected == distance(real, generated[:30])
    metric = SlicedWasserstein(images=50, patches=2, directions=3, seed=4)
    metric.update(real, real=True)
    metric.update(generated[:20])
    assert metric.protocol == {"images": 20, "patches": 2, "directions": 3, "seed": 4}


def test_gray_images_have_descriptors_of_one_channel() -> None:
    found = distance(images(20, 28, 1), images(20, 28, 1, seed=1))
    assert set(found) == {"28", "mean"} and 0 < found["mean"] < 1000


def test_images_without_contrast_have_a_finite_distance() -> None:
    found = distance(images(50), torch.zeros(50, 3, 32, 32))
    assert 300 < found["32"] < 1000 and 300 < found["16"] < 1000


def test_real_images_survive_a_reset_and_are_saved() -> None:
    real, generated = images(30), images(30, seed=1)
    metric = SlicedWasserstein(patches=16, directions=32)
    metric.update(real, real=True)
    metric.update(images(30, seed=2))
    other = metric.compute()
    metric.reset_generated()
    metric.update(generated)
    expected = metric.compute()
    assert expected == distance(real, generated) != other
    fresh = SlicedWasserstein(patches=16, directions=32)
    fresh.update(generated)
    fresh.load_real_state(metric.real_state())
    assert fresh.compute() == expected
    fresh.load_real_state({"images": quantized(generated)})  # replaces the images and the cached value
    assert float(fresh.compute()["mean"]) == 0
    metric.reset()
    assert metric.protocol["images"] == 0 and not metric.real


def test_one_set_alone_has_no_distance() -> None:
    metric = SlicedWasserstein()
    metric.update(images(3))
    with pytest.raises(ValueError, match="one set is empty"):
        metric.compute()
    metric.update(images(3, 16), real=True)
    with pytest.raises(
        ValueError, match=r"^The real images are \(3, 3, 16, 16\) and the generated ones \(3, 3, 32, 32\)"
    ):
        metric.compute()


def test_wrong_shapes_and_settings_are_refused() -> None:
    for shape in ((2, 3, 32, 16), (2, 3, 32)):
        with pytest.raises(ValueError, match=r"^Pyramids need square images"):
            SlicedWasserstein().update(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"^Images of 8 pixels have no pyramid"):
        SlicedWasserstein().update(torch.zeros(2, 3, 8, 8))
    for name in ("images", "patches", "directions"):
        with pytest.raises(ValueError, match=f"^{name}=0 is not allowed: it must be at least 1"):
            SlicedWasserstein(**{name: 0})
