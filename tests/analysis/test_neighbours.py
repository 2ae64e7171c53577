"""Nearest neighbours and copies, against brute force, closed forms and generators that are known to copy or not to."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gan_lab.analysis import neighbours
from gan_lab.analysis.neighbours import Numbering, memorisation, nearest
from tests.analysis.planted import planted


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def brute_force(queries: Tensor, points: Tensor) -> np.ndarray:
    """Distances (m, n) by differences, in float64."""
    a, b = queries.numpy().astype(np.float64), points.numpy().astype(np.float64)
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(2))


# -- nearest ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows, columns", [(256, 4096), (7, 11), (1, 1)])
def test_nearest_is_brute_force_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch, rows: int, columns: int) -> None:
    monkeypatch.setattr(neighbours, "_ROWS", rows)
    monkeypatch.setattr(neighbours, "_COLUMNS", columns)
    queries, points = normal(40, 6), normal(57, 6, seed=1)
    expected = brute_force(queries, points)
    found = nearest(queries, points, 5)
    np.testing.assert_array_equal(found.indices, np.argsort(expected, 1)[:, :5])
    np.testing.assert_allclose(found.distances, np.sort(expected, 1)[:, :5], rtol=1e-12)
    assert found.distances.dtype == torch.float64


@pytest.mark.parametrize("columns", [4096, 10])
def test_points_of_barred_owners_do_not_count(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(neighbours, "_COLUMNS", columns)
    queries, points = normal(30, 4), normal(45, 4, seed=1)
    owners = torch.arange(45) % 9
    barred = torch.stack([torch.arange(30) % 9, torch.arange(30) % 4], 1)
    expected = brute_force(queries, points)
    for row in range(30):
        expected[row, np.isin(owners.numpy(), barred[row].numpy())] = np.inf
    found = nearest(queries, points, 3, owners, barred)
    np.testing.assert_array_equal(found.indices, np.argsort(expected, 1)[:, :3])


def test_equal_rows_are_at_distance_0_however_far_from_the_origin() -> None:
    points = normal(100, 50).double() / 3 + 1e4  # all digits used
    found = nearest(points, points, 2)
    assert found.indices[:, 0].tolist() == list(range(100)) and found.distances[:, 0].eq(0).all()
    assert found.distances[:, 1].gt(0.3).all()


def test_too_few_points() -> None:
    points = normal(3, 2)
    with pytest.raises(ValueError, match=r"nearest=4 is not allowed: .* 1 to the 3"):
        nearest(points, points, 4)
    alone = nearest(points[:1], points, 2, torch.tensor([0, 0, 1]), torch.tensor([[0]]))
    assert alone.distances[0, 0] > 0 and alone.distances[0, 1].isinf()
    assert nearest(points[:0], points, 2).distances.shape == (0, 2)


# -- numbers of images ------------------------------------------------------------------------------------------------


def test_equal_images_have_one_number_whatever_part_they_come_in() -> None:
    images = normal(5, 1, 3, 3)
    numbering = Numbering()
    assert numbering(images[[0, 1, 0]]).tolist() == [0, 1, 0]
    assert numbering(images[[2, 1, 3]]).tolist() == [2, 1, 3]
    assert numbering(images[:1].flip(-1)).tolist() == [4] and len(numbering) == 5
    changed = images[:1].clone()
    changed[0, 0, 0, 0] += 1e-3
    assert numbering(changed).tolist() == [5]


def test_mirror_images_have_one_number_if_wanted() -> None:
    images = normal(3, 3, 4, 4)
    numbering = Numbering(mirrored=True)
    assert numbering(images).tolist() == [0, 1, 2]
    assert numbering(images.flip(-1)).tolist() == [0, 1, 2]
    assert numbering(images[:1].flip(-2)).tolist() == [3]


# -- copies -----------------------------------------------------------------------------------------------------------


def by_definition(samples: Tensor, training: Tensor, owners: Tensor) -> dict[str, float]:
    """The numbers of the docstring, pair by pair."""
    between, within = brute_force(samples, training), brute_force(training, training)
    owners_ = owners.numpy()

    def pair(distances: np.ndarray, out: set[int]) -> tuple[float, float]:
        allowed = ~np.isin(owners_, list(out))
        place = np.where(allowed, distances, np.inf).argmin()
        others = ~np.isin(owners_, [*out, owners_[place]])
        return distances[place], within[place][others].min()

    firsts = [list(owners_).index(owner) for owner in sorted(set(owners_))]
    near, apart = np.array([pair(row, set()) for row in between]).T
    near_out, apart_out = np.array([pair(within[k], {owners_[k]}) for k in firsts]).T
    return {
        "distance": near.mean(), "baseline_distance": near_out.mean(), "ratio": near.mean() / near_out.mean(),
        "share": (near < apart).mean(), "baseline_share": (near_out < apart_out).mean(),
        "copies": (near < apart / 3).mean(), "baseline_copies": (near_out < apart_out / 3).mean(),
    }  # fmt: skip


@pytest.mark.parametrize("views", [1, 2])
def test_memorisation_is_its_definition(views: int) -> None:
    training = torch.cat([normal(60, 3, seed=view) for view in range(views)])
    owners = torch.arange(60).repeat(views)
    owners[owners == 7] = 40  # the same image twice
    samples = torch.cat([normal(30, 3, seed=8), training[:10] + 0.02 * normal(10, 3, seed=9)])
    found = memorisation(samples, training, owners)
    for name, value in by_definition(samples, training, owners).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-9), name
    assert (found.training_images, found.baseline_images) == (59, 59)
    assert found.distances.shape == (40,) and float(found.distances.mean()) == pytest.approx(found.distance)


def test_the_baseline_of_some_images_is_near_that_of_all() -> None:
    training, samples = normal(800, 4), normal(10, 4, seed=1)
    every, some = memorisation(samples, training), memorisation(samples, training, count=400, seed=3)
    assert some.baseline_images == 400
    assert some.baseline_distance != every.baseline_distance == pytest.approx(some.baseline_distance, rel=0.05)
    assert some.baseline_distance == memorisation(samples, training, count=400, seed=3).baseline_distance


def test_a_generator_that_copies() -> None:
    training = normal(1000, 8)
    found = memorisation(training[:700] + 1e-3 * normal(700, 8, seed=1), training)
    assert found.ratio < 0.01 and found.share == 1 and found.copies == 1
    assert found.baseline_copies < 0.02
    closer = memorisation(training[:700] + 1e-5 * normal(700, 8, seed=1), training)
    assert closer.ratio == pytest.approx(found.ratio / 100, rel=0.01)


@pytest.mark.parametrize("dimension", [2, 8, 64])
def test_an_honest_generator_is_like_training_images_taken_out(dimension: int) -> None:
    """Fresh draws of the law of the training images, in whatever number of dimensions."""
    found = memorisation(normal(2000, dimension, seed=1), normal(2000, dimension))
    assert found.ratio == pytest.approx(1, abs=0.05)
    assert found.share == pytest.approx(found.baseline_share, abs=0.05) and found.share < 0.66
    assert found.copies == pytest.approx(found.baseline_copies, abs=0.04)


def test_baseline_share_of_a_smooth_law_in_the_plane() -> None:
    """That a point is nearest to its nearest point: 1 / (4/3 + sqrt(3) / (2 pi)), the area of one disc in two at a radius."""
    torus = torch.rand(4000, 2, generator=torch.Generator().manual_seed(0))
    found = memorisation(torus[:1], torus)
    assert found.baseline_share == pytest.approx(1 / (4 / 3 + 3**0.5 / (2 * np.pi)), abs=0.02)


def test_a_generator_that_copies_now_and_then_shows_in_copies() -> None:
    training = normal(1000, 16)
    samples = torch.cat([normal(900, 16, seed=1), training[:100] + 1e-3 * normal(100, 16, seed=2)])
    found = memorisation(samples, training)
    assert found.copies == pytest.approx(0.1, abs=0.005) and found.baseline_copies < 0.005
    assert found.ratio == pytest.approx(0.9, abs=0.03)


def test_samples_off_the_data_have_a_large_ratio_and_no_share() -> None:
    training = normal(500, 8)
    found = memorisation(normal(300, 8, seed=1) + 6, training)
    assert found.ratio > 2 and found.copies == 0 and found.share < 0.05


def test_copies_of_an_image_that_is_in_the_set_twice_are_found() -> None:
    images = normal(200, 8)
    training, owners = images.repeat(2, 1), torch.arange(200).repeat(2)
    found = memorisation(images + 1e-4 * normal(200, 8, seed=1), training, owners)
    assert found.share == 1 and found.copies == 1 and found.training_images == 200
    assert found.baseline_distance == pytest.approx(memorisation(images, images).baseline_distance)


def test_copies_of_mirror_images_are_found() -> None:
    images, mirrors = normal(200, 8), normal(200, 8, seed=1)
    views, owners = torch.cat([images, mirrors]), torch.arange(200).repeat(2)
    samples = mirrors + 1e-3 * normal(200, 8, seed=2)
    assert memorisation(samples, views, owners).copies == 1
    assert memorisation(samples, images).copies < 0.02


def test_digits_that_were_held_out_and_digits_that_are_copied() -> None:
    """Real images: what no training saw is honest, and training images with a little noise are copies."""
    digits = planted(32)[:600]
    order = torch.randperm(600, generator=torch.Generator().manual_seed(1))
    training, held_out = digits[order[:300]], digits[order[300:]]

    def features(images: Tensor) -> Tensor:
        return F.avg_pool2d(images, 4).flatten(1)

    honest = memorisation(features(held_out), features(training))
    assert honest.ratio == pytest.approx(1, abs=0.05)
    assert honest.share == pytest.approx(honest.baseline_share, abs=0.1) and honest.share < 0.6
    assert honest.copies <= 0.01
    copied = memorisation(features(training + 0.05 * normal(*training.shape)), features(training))
    assert copied.ratio < 0.1 and copied.share == 1 and copied.copies == 1


def test_refusals() -> None:
    with pytest.raises(ValueError, match="at least 3 different training images, not 5 among 2"):
        memorisation(normal(5, 2), normal(4, 2), torch.tensor([0, 1, 1, 0]))
    with pytest.raises(ValueError, match="at least 1 sample"):
        memorisation(normal(0, 2), normal(4, 2))
    with pytest.raises(ValueError, match="same features"):
        memorisation(normal(5, 2), torch.ones(4, 2))
