"""Nearest neighbors and memorization, compared with brute force, closed forms and known copies."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gan_lab.analysis.neighbors import Numbering, memorization, nearest
from tests.helpers.planted_duplicates import planted


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def brute_force(queries: Tensor, points: Tensor) -> np.ndarray:
    """Distances (m, n) from differences, in float64."""
    a, b = queries.numpy().astype(np.float64), points.numpy().astype(np.float64)
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(2))


# -- nearest ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows, columns", [(256, 4096), (7, 11), (1, 1)])
def test_nearest_equals_brute_force_for_any_blocks(rows: int, columns: int) -> None:
    queries, points = normal(40, 6), normal(57, 6, seed=1)
    expected = brute_force(queries, points)
    found = nearest(queries, points, 5, query_block=rows, point_block=columns)
    np.testing.assert_array_equal(found.indices, np.argsort(expected, 1)[:, :5])
    np.testing.assert_allclose(found.distances, np.sort(expected, 1)[:, :5], rtol=1e-12)
    assert found.distances.dtype == torch.float64


@pytest.mark.parametrize("columns", [4096, 10])
def test_points_of_excluded_images_are_ignored(columns: int) -> None:
    queries, points = normal(30, 4), normal(45, 4, seed=1)
    image_ids = torch.arange(45) % 9
    excluded_ids = torch.stack([torch.arange(30) % 9, torch.arange(30) % 4], 1)
    expected = brute_force(queries, points)
    for row in range(30):
        expected[row, np.isin(image_ids.numpy(), excluded_ids[row].numpy())] = np.inf
    found = nearest(queries, points, 3, image_ids, excluded_ids, point_block=columns)
    np.testing.assert_array_equal(found.indices, np.argsort(expected, 1)[:, :3])


def test_equal_rows_have_distance_0_far_from_the_origin() -> None:
    points = normal(100, 50).double() / 3 + 1e4  # all bits of the mantissa are used
    found = nearest(points, points, 2)
    assert found.indices[:, 0].tolist() == list(range(100)) and found.distances[:, 0].eq(0).all()
    assert found.distances[:, 1].gt(0.3).all()


def test_too_few_points() -> None:
    points = normal(3, 2)
    with pytest.raises(ValueError, match=r"nearest=4 is not allowed: .* 1 to 3"):
        nearest(points, points, 4)
    alone = nearest(points[:1], points, 2, torch.tensor([0, 0, 1]), torch.tensor([[0]]))
    assert alone.distances[0, 0] > 0 and alone.distances[0, 1].isinf()
    assert nearest(points[:0], points, 2).distances.shape == (0, 2)


# -- numbers of images ------------------------------------------------------------------------------------------------


def test_equal_images_have_the_same_number_over_several_calls() -> None:
    images = normal(5, 1, 3, 3)
    numbering = Numbering()
    assert numbering(images[[0, 1, 0]]).tolist() == [0, 1, 0]
    assert numbering(images[[2, 1, 3]]).tolist() == [2, 1, 3]
    assert numbering(images[:1].flip(-1)).tolist() == [4] and len(numbering) == 5
    changed = images[:1].clone()
    changed[0, 0, 0, 0] += 1e-3
    assert numbering(changed).tolist() == [5]


def test_mirror_images_have_the_same_number_if_requested() -> None:
    images = normal(3, 3, 4, 4)
    numbering = Numbering(mirrored=True)
    assert numbering(images).tolist() == [0, 1, 2]
    assert numbering(images.flip(-1)).tolist() == [0, 1, 2]
    assert numbering(images[:1].flip(-2)).tolist() == [3]


# -- memorization -----------------------------------------------------------------------------------------------------


def by_definition(samples: Tensor, training: Tensor, image_ids: Tensor) -> dict[str, float]:
    """The values of the docstring by brute force."""
    between, within = brute_force(samples, training), brute_force(training, training)
    ids = image_ids.numpy()

    def pair(distances: np.ndarray, out: set[int]) -> tuple[float, float]:
        allowed = ~np.isin(ids, list(out))
        place = np.where(allowed, distances, np.inf).argmin()
        others = ~np.isin(ids, [*out, ids[place]])
        return distances[place], within[place][others].min()

    firsts = [list(ids).index(image_id) for image_id in sorted(set(ids))]
    near, apart = np.array([pair(row, set()) for row in between]).T
    near_out, apart_out = np.array([pair(within[k], {ids[k]}) for k in firsts]).T
    return {
        "distance": near.mean(), "baseline_distance": near_out.mean(), "ratio": near.mean() / near_out.mean(),
        "closer": (near < apart).mean(), "baseline_closer": (near_out < apart_out).mean(),
        "copies": (near < apart / 3).mean(), "baseline_copies": (near_out < apart_out / 3).mean(),
    }  # fmt: skip


@pytest.mark.parametrize("views", [1, 2])
def test_memorization_equals_its_definition(views: int) -> None:
    training = torch.cat([normal(60, 3, seed=view) for view in range(views)])
    image_ids = torch.arange(60).repeat(views)
    image_ids[image_ids == 7] = 40  # the same image twice
    samples = torch.cat([normal(30, 3, seed=8), training[:10] + 0.02 * normal(10, 3, seed=9)])
    found = memorization(samples, training, image_ids)
    for name, value in by_definition(samples, training, image_ids).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-9), name
    assert (found.training_images, found.baseline_images) == (59, 59)
    assert found.distances.shape == (40,) and float(found.distances.mean()) == pytest.approx(found.distance)


def test_the_baseline_of_a_subset_approximates_that_of_all() -> None:
    training, samples = normal(800, 4), normal(10, 4, seed=1)
    every, some = memorization(samples, training), memorization(samples, training, count=400, seed=3)
    assert some.baseline_images == 400
    assert some.baseline_distance != every.baseline_distance == pytest.approx(some.baseline_distance, rel=0.05)
    assert some.baseline_distance == memorization(samples, training, count=400, seed=3).baseline_distance


def test_a_generator_that_copies() -> None:
    training = normal(1000, 8)
    found = memorization(training[:700] + 1e-3 * normal(700, 8, seed=1), training)
    assert found.ratio < 0.01 and found.closer == 1 and found.copies == 1
    assert found.baseline_copies < 0.02
    closer = memorization(training[:700] + 1e-5 * normal(700, 8, seed=1), training)
    assert closer.ratio == pytest.approx(found.ratio / 100, rel=0.01)


@pytest.mark.parametrize("dimension", [2, 8, 64])
def test_independent_samples_are_like_left_out_training_images(dimension: int) -> None:
    """Independent samples of the distribution of the training images, in several dimensions."""
    found = memorization(normal(2000, dimension, seed=1), normal(2000, dimension))
    assert found.ratio == pytest.approx(1, abs=0.05)
    assert found.closer == pytest.approx(found.baseline_closer, abs=0.05) and found.closer < 0.66
    assert found.copies == pytest.approx(found.baseline_copies, abs=0.04)


def test_baseline_of_a_smooth_distribution_in_the_plane() -> None:
    """Probability of mutual nearest neighbors: 1 / (4/3 + sqrt(3) / (2 pi)), a disc's fraction of the union of two."""
    torus = torch.rand(4000, 2, generator=torch.Generator().manual_seed(0))
    found = memorization(torus[:1], torus)
    assert found.baseline_closer == pytest.approx(1 / (4 / 3 + 3**0.5 / (2 * np.pi)), abs=0.02)


def test_rare_copies_show_in_copies() -> None:
    training = normal(1000, 16)
    samples = torch.cat([normal(900, 16, seed=1), training[:100] + 1e-3 * normal(100, 16, seed=2)])
    found = memorization(samples, training)
    assert found.copies == pytest.approx(0.1, abs=0.005) and found.baseline_copies < 0.005
    assert found.ratio == pytest.approx(0.9, abs=0.03)


def test_samples_off_the_data_have_a_large_ratio_and_no_copies() -> None:
    training = normal(500, 8)
    found = memorization(normal(300, 8, seed=1) + 6, training)
    assert found.ratio > 2 and found.copies == 0 and found.closer < 0.05


def test_copies_of_repeated_images_are_found() -> None:
    images = normal(200, 8)
    training, image_ids = images.repeat(2, 1), torch.arange(200).repeat(2)
    found = memorization(images + 1e-4 * normal(200, 8, seed=1), training, image_ids)
    assert found.closer == 1 and found.copies == 1 and found.training_images == 200
    assert found.baseline_distance == pytest.approx(memorization(images, images).baseline_distance)


def test_copies_of_mirror_images_are_found() -> None:
    images, mirrors = normal(200, 8), normal(200, 8, seed=1)
    views, image_ids = torch.cat([images, mirrors]), torch.arange(200).repeat(2)
    samples = mirrors + 1e-3 * normal(200, 8, seed=2)
    assert memorization(samples, views, image_ids).copies == 1
    assert memorization(samples, images).copies < 0.02


def test_held_out_digits_and_copied_digits() -> None:
    """Real images: held-out images are independent, training images with little noise are copies."""
    digits = planted(32)[:600]
    order = torch.randperm(600, generator=torch.Generator().manual_seed(1))
    training, held_out = digits[order[:300]], digits[order[300:]]

    def features(images: Tensor) -> Tensor:
        return F.avg_pool2d(images, 4).flatten(1)

    independent = memorization(features(held_out), features(training))
    assert independent.ratio == pytest.approx(1, abs=0.05)
    assert independent.closer == pytest.approx(independent.baseline_closer, abs=0.1) and independent.closer < 0.6
    assert independent.copies <= 0.01
    copied = memorization(features(training + 0.05 * normal(*training.shape)), features(training))
    assert copied.ratio < 0.1 and copied.closer == 1 and copied.copies == 1


def test_errors() -> None:
    with pytest.raises(ValueError, match="at least 3 different training images, not 5 and 2"):
        memorization(normal(5, 2), normal(4, 2), torch.tensor([0, 1, 1, 0]))
    with pytest.raises(ValueError, match="at least 1 sample"):
        memorization(normal(0, 2), normal(4, 2))
    with pytest.raises(ValueError, match="same features"):
        memorization(normal(5, 2), torch.ones(4, 2))
