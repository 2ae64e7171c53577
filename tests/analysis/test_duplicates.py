"""Near-duplicates, compared with brute force, and known copies among digits."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gan_lab.analysis.duplicates import Duplicates, hash_duplicates, near_duplicates, usual_distance
from gan_lab.analysis.neighbors import Numbering
from tests.helpers.planted_duplicates import DIGITS, KINDS, copies, planted


def by_rule(distances: np.ndarray, threshold: float) -> list[tuple[int, int, float]]:
    """Brute force: an image is dropped if a kept one is within the threshold; the nearest one is its partner."""
    kept, dropped = [], []
    for position in range(len(distances)):
        near = [(distances[position, other], other) for other in kept if distances[position, other] <= threshold]
        if near:
            distance, other = min(near)
            dropped.append((position, other, distance))
        else:
            kept.append(position)
    return dropped


def rows_of(found: Duplicates) -> list[tuple[int, int, float]]:
    return list(zip(*(column.tolist() for column in found), strict=True))


@pytest.mark.parametrize("rows, columns", [(512, 4096), (16, 5), (1, 1)])
@pytest.mark.parametrize("threshold", [0.05, 0.3, 1.0])
def test_near_duplicates_equal_brute_force(rows: int, columns: int, threshold: float) -> None:
    points = torch.rand(150, 2, generator=torch.Generator().manual_seed(0))
    expected = by_rule(np.linalg.norm(points.numpy()[:, None].astype(float) - points.numpy()[None], axis=2), threshold)
    found = rows_of(near_duplicates(points, threshold, image_block=rows, kept_block=columns))
    assert [row[:2] for row in found] == [row[:2] for row in expected] and len(found) > 0
    np.testing.assert_allclose([row[2] for row in found], [row[2] for row in expected], rtol=1e-9)


def test_the_first_of_a_group_is_kept() -> None:
    points = torch.tensor([[0.0], [10.0], [0.1], [10.1], [0.05], [20.0]])
    assert [row[:2] for row in rows_of(near_duplicates(points, 0.5))] == [(2, 0), (3, 1), (4, 0)]


def test_a_chain_drops_only_images_near_kept_ones() -> None:
    points = torch.arange(7.0)[:, None]
    assert [row[:2] for row in rows_of(near_duplicates(points, 1.0))] == [(1, 0), (3, 2), (5, 4)]


def test_equal_features_are_at_distance_0() -> None:
    points = torch.randn(40, 30, generator=torch.Generator().manual_seed(0)) + 1e3
    found = near_duplicates(torch.cat([points, points]), 0.1)
    assert rows_of(found) == [(40 + k, k, 0.0) for k in range(40)]


@pytest.mark.parametrize("bits", [0, 1, 5])
def test_hash_duplicates_equal_brute_force(bits: int) -> None:
    generator = torch.Generator().manual_seed(0)
    hashes = torch.rand(80, 24, generator=generator) < 0.5
    flips = torch.rand(80, 24, generator=generator) < 0.06
    hashes = torch.cat([hashes, hashes ^ flips, hashes[:5]])
    array = hashes.numpy()
    found = rows_of(hash_duplicates(hashes, bits))
    assert found == by_rule((array[:, None] != array[None]).sum(2), bits) and len(found) >= 10


def test_no_duplicates() -> None:
    for found in (
        near_duplicates(torch.eye(5), 0.1),
        hash_duplicates(torch.eye(5) > 0),
        hash_duplicates(torch.eye(5) > 0, 1),
    ):
        assert rows_of(found) == []


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"threshold=0 .*greater than 0"):
        near_duplicates(torch.eye(3), 0)
    with pytest.raises(ValueError, match=r"threshold=-1 .*at least 0 bits"):
        hash_duplicates(torch.eye(3) > 0, -1)


def test_usual_distance_is_the_median_to_the_nearest_different_image() -> None:
    images = torch.randn(51, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    features = images.flatten(1)
    distances = np.linalg.norm(features.numpy()[:, None].astype(float) - features.numpy()[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    expected = np.median(distances.min(1))
    assert usual_distance(features, torch.arange(51)) == pytest.approx(expected, rel=1e-9)
    twice = torch.cat([images, images])
    assert usual_distance(features.repeat(2, 1), Numbering()(twice)) == pytest.approx(expected, rel=1e-9)
    assert usual_distance(features, torch.zeros(51).long()) == float("inf")


def pooled(images: Tensor) -> Tensor:
    """Features for the test: means on a grid of 8x8."""
    return F.adaptive_avg_pool2d(images, 8).flatten(1)


def test_planted_copies_are_found_and_no_other_digit_is_dropped() -> None:
    """With half the usual distance, the default: exact, shifted and noisy copies."""
    images = planted(64)
    features = pooled(images)
    found = near_duplicates(features, 0.5 * usual_distance(features, Numbering()(images)))
    expected = {copy: original for kind in KINDS for copy, original in copies(kind).items()}
    assert dict(zip(found.dropped.tolist(), found.kept.tolist(), strict=True)) == expected
    assert found.distances[:10].eq(0).all() and found.distances[10:].gt(0).all()
    assert min(expected) == DIGITS
