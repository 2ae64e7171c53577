"""The sliced Wasserstein distance: against scipy on tiny images, and what it can and cannot see."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve
from scipy.stats import wasserstein_distance
from torch import Tensor

from gan_lab.metrics import sliced_wasserstein as module
from gan_lab.metrics.pixels import quantized
from gan_lab.metrics.sliced_wasserstein import (
    SlicedWasserstein,
    descriptors,
    in_own_order,
    laplacian_pyramid,
    normalized,
    scales,
    sliced_wasserstein,
    unit_directions,
)

KERNEL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])[None, None] / 256


def images(n: int, side: int = 32, channels: int = 3, seed: int = 0) -> Tensor:
    """Noise over smooth pictures in [-1, 1], exactly quantized."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, channels, 4, 4, generator=generator)
    picture = torch.nn.functional.interpolate(coarse, side, mode="bilinear")
    noisy = picture + 0.05 * torch.randn(picture.shape, generator=generator)
    return quantized(2 * noisy - 1).float() / 127.5 - 1


def distance(real: Tensor, generated: Tensor, batch: int = 50, **options: int) -> dict[str, float]:
    metric = SlicedWasserstein(**({"patches": 16, "directions": 32} | options))
    for part in real.split(batch):
        metric.update(part, real=True)
    for part in generated.split(batch):
        metric.update(part)
    return {key: float(value) for key, value in metric.compute().items()}


# --- pyramid


def scipy_pyramid(pixels: np.ndarray, levels: int) -> list[np.ndarray]:
    pyramid = []
    for _ in range(levels - 1):
        coarser = convolve(pixels, KERNEL, mode="mirror")[:, :, ::2, ::2]
        spread = np.zeros_like(pixels)
        spread[:, :, ::2, ::2] = coarser
        pyramid.append(pixels - convolve(spread, 4 * KERNEL, mode="mirror"))
        pixels = coarser
    return [*pyramid, pixels]


def test_pyramid_is_that_of_scipy() -> None:
    pixels = 255 * torch.rand(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = scipy_pyramid(pixels.numpy(), 3)
    for ours, theirs in zip(laplacian_pyramid(pixels, 3), expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=1e-11)
    for ours, theirs in zip(laplacian_pyramid(pixels.float(), 3), expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=1e-4)


def test_constant_images_have_nothing_but_the_coarsest_level() -> None:
    fine, middle, coarse = laplacian_pyramid(torch.full((1, 1, 64, 64), 77.0), 3)
    assert not fine.any() and not middle.any() and bool((coarse == 77).all())


def test_scales_end_at_sixteen_pixels() -> None:
    assert scales(64) == [64, 32, 16] and scales(16) == [16] and scales(28) == [28] and scales(100) == [100, 50, 25]
    for side in (8, 15, 33, 66, 84 + 1):
        with pytest.raises(ValueError, match=f"^Images of {side} pixels have no pyramid"):
            scales(side)


# --- descriptors


def test_descriptors_are_the_patches_at_their_places() -> None:
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


def test_along_every_direction_it_is_the_wasserstein_distance_of_scipy() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (
        torch.randn(200, 5, dtype=torch.float64, generator=generator),
        torch.rand(200, 5, generator=generator).double(),
    )
    directions = unit_directions(5, 37, generator).double()  # more than one chunk
    expected = [wasserstein_distance((a @ d).numpy(), (b @ d).numpy()) for d in directions.T]
    assert float(sliced_wasserstein(a, b, directions)) == pytest.approx(np.mean(expected), rel=1e-12)


def test_a_shift_is_as_far_as_it_is_along_the_directions() -> None:
    points = torch.randn(100, 4, generator=torch.Generator().manual_seed(0)).double()
    assert float(sliced_wasserstein(points, points + 3, torch.eye(4).double())) == pytest.approx(3)
    shuffled = points[torch.randperm(100)]
    assert float(sliced_wasserstein(points, shuffled, torch.eye(4).double())) == 0


def test_directions_are_uniform_and_of_length_1() -> None:
    directions = unit_directions(147, 4000, torch.Generator().manual_seed(0)).double()
    np.testing.assert_allclose(directions.norm(dim=0).numpy(), 1, atol=1e-6)
    second = directions @ directions.T / 4000
    np.testing.assert_allclose(second.numpy(), np.eye(147) / 147, atol=6 / 147 / np.sqrt(4000))


@pytest.mark.parametrize(("count", "floor"), [(1024, 56.0), (4096, 28.0)])
def test_two_samples_of_one_law_are_apart_by_the_known_floor(count: int, floor: float) -> None:
    """28.0 thousandths at 4,096 descriptors of 147 normal numbers, and about as 1 / sqrt(n)."""
    generator = torch.Generator().manual_seed(1)
    a, b = (normalized(torch.randn(count, 3, 7, 7, generator=generator)) for _ in range(2))
    value = 1000 * float(sliced_wasserstein(a, b, unit_directions(147, 512, generator)))
    assert value == pytest.approx(floor, rel=0.08)


# --- the metric


def test_whole_distance_is_that_of_scipy_on_tiny_images() -> None:
    """Everything but the random draws is computed anew: those of the metric are read off as it makes them."""
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
    pyramids = [scipy_pyramid(np.float64(in_own_order(quantized(part)).numpy()), 2) for part in (real, generated)]
    expected = {}
    for level, side in enumerate((32, 16)):
        (directions,), *places = drawn[3 * level : 3 * level + 3]
        rows = []
        for pyramid, (first_row, first_column) in zip(pyramids, places, strict=True):
            assert first_row.min() >= 0 and first_row.max() <= side - 7
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
        expected[str(side)] = 1000 * np.mean([wasserstein_distance(rows[0] @ line, rows[1] @ line) for line in lines])
    expected["mean"] = (expected["32"] + expected["16"]) / 2
    assert found == pytest.approx(expected, rel=1e-4)


def test_places_are_spread_over_the_whole_image(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = module.descriptors
    monkeypatch.setattr(module, "descriptors", lambda *given: seen.append(given[1:]) or original(*given))
    distance(images(30, 16), images(30, 16, seed=1), patches=64)
    for place in seen[0]:
        counts = torch.bincount(place.flatten(), minlength=10)
        assert len(counts) == 10 and counts.min() > 0.75 * 192  # 1920 draws of 0..9
        assert len({tuple(row.tolist()) for row in place}) == 30  # other places in every image


def test_images_in_another_order_are_the_same_set() -> None:
    real, generated = images(40), images(40, seed=1)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert distance(real, real[order]) == {"32": 0, "16": 0, "mean": 0}
    assert distance(real, generated) == distance(real, generated[order], batch=7) != distance(real, real)


def test_a_change_of_brightness_and_contrast_is_not_seen() -> None:
    """The paper's own normalization: with the same places it is 0, at other places no more than between equal laws."""
    pixels, like = (quantized(images(100, seed=seed)).double() // 2 for seed in (0, 1))  # 0..127
    changed = 2 * pixels + 1
    colours = changed + 10 * torch.arange(3.0).view(3, 1, 1)
    rows, columns = torch.randint(10, (2, 100, 8), generator=torch.Generator().manual_seed(1))
    directions = unit_directions(147, 32, torch.Generator().manual_seed(2)).double()
    for levels in zip(laplacian_pyramid(pixels, 2), laplacian_pyramid(colours, 2), strict=True):
        a, b = (normalized(descriptors(level, rows, columns)) for level in levels)
        assert float(sliced_wasserstein(a, b, directions)) < 1e-12
    first, second, third = ((part / 127.5 - 1).float() for part in (pixels, changed, like))
    assert distance(first, second)["mean"] < 1.1 * distance(first, third)["mean"]


def test_blur_is_seen_where_it_is() -> None:
    real, other = images(200, 64), images(200, 64, seed=1)
    blurred = torch.nn.functional.avg_pool2d(other, 5, 1, 2, count_include_pad=False)
    clean, found = distance(real, other), distance(real, blurred)
    assert found["64"] > 3 * clean["64"] and found["16"] < 1.1 * clean["16"]
    assert found["mean"] == pytest.approx((found["64"] + found["32"] + found["16"]) / 3)


def test_seed_chooses_places_and_directions() -> None:
    real, generated = images(40), images(40, seed=1)
    first, second = distance(real, generated), distance(real, generated, seed=1)
    assert first["mean"] != second["mean"] and first["mean"] == pytest.approx(second["mean"], rel=0.3)


def test_no_more_images_count_than_asked_for_or_than_there_are_of_the_other_kind() -> None:
    real, generated = images(60), images(60, seed=1)
    expected = distance(real[:30], generated[:30])
    assert distance(real, generated, images=30, batch=7) == expected
    assert distance(real[:30], generated) == expected == distance(real, generated[:30])
    metric = SlicedWasserstein(images=50, patches=2, directions=3, seed=4)
    metric.update(real, real=True)
    metric.update(generated[:20])
    assert metric.protocol == {"images": 20, "patches": 2, "directions": 3, "seed": 4}


def test_grey_images_have_descriptors_of_one_channel() -> None:
    found = distance(images(20, 28, 1), images(20, 28, 1, seed=1))
    assert set(found) == {"28", "mean"} and 0 < found["mean"] < 1000


def test_images_without_any_contrast_are_far_and_not_nan() -> None:
    found = distance(images(50), torch.zeros(50, 3, 32, 32))
    assert 300 < found["32"] < 1000 and 300 < found["16"] < 1000


def test_real_images_outlive_the_generated_ones_and_a_run() -> None:
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
    fresh.load_real_state({"images": quantized(generated)})  # in place of the others, and of the value remembered
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
        with pytest.raises(ValueError, match=r"^Pyramids are made of square images"):
            SlicedWasserstein().update(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"^Images of 8 pixels have no pyramid"):
        SlicedWasserstein().update(torch.zeros(2, 3, 8, 8))
    for name in ("images", "patches", "directions"):
        with pytest.raises(ValueError, match=f"^{name}=0 is not allowed: it must be at least 1"):
            SlicedWasserstein(**{name: 0})
