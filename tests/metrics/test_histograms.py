"""Divergences and optimal transport against closed forms, numpy and scipy."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from gan_lab.metrics.histograms import cell_counts, cell_edges, kl_divergence, smoothed, wasserstein_1, with_rest


def test_cells_and_points_outside_of_the_grid() -> None:
    points = torch.tensor(
        [[-1.0, -1.0], [-0.5, 0.5], [0.5, -0.5], [0.9, 0.9], [0.0, 0.0], [1.0, 0.0], [9.0, 0.0], [math.nan, 0.0]]
    )
    counts = cell_counts(points, bins=2, extent=1.0)
    assert counts.dtype == torch.int64
    assert counts.tolist() == [1, 1, 1, 2, 3]  # [x, y]: left below, left above, right below, right above; elsewhere


def test_counts_equal_numpy() -> None:
    points = 2 * torch.randn(5000, 2, generator=torch.Generator().manual_seed(0))
    edges = cell_edges(7, 3.0).numpy()
    expected, _, _ = np.histogram2d(*points.double().T.numpy(), bins=[edges, edges])
    counts = cell_counts(points, 7, 3.0)
    assert counts[:-1].tolist() == expected.flatten().astype(int).tolist()
    assert counts.sum() == 5000


def test_missing_points_are_in_the_last_cell() -> None:
    assert with_rest(torch.tensor([[0.25, 0.25], [0.125, 0.125]])).tolist() == [0.25, 0.25, 0.125, 0.125, 0.25]


def test_smoothing_adds_to_normalized_masses() -> None:
    probabilities = smoothed(torch.tensor([3, 1, 0]), eps=0.5)
    assert probabilities.tolist() == pytest.approx([1.25 / 2.5, 0.75 / 2.5, 0.5 / 2.5])


def test_kl_of_two_coins() -> None:
    p, q = torch.tensor([0.5, 0.5]), torch.tensor([0.75, 0.25])
    assert kl_divergence(p, q).item() == pytest.approx(0.5 * math.log(4 / 3))
    assert kl_divergence(q, p).item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert kl_divergence(p, p) == 0


def test_kl_of_empty_cells() -> None:
    some, none = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert kl_divergence(some, torch.tensor([0.5, 0.5])).item() == pytest.approx(math.log(2))
    assert kl_divergence(some, none) == math.inf


def test_distance_to_a_shifted_set_is_the_shift() -> None:
    points = torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    shift = torch.tensor([30.0, 40.0])  # larger than the set, so that no other assignment is better
    assert wasserstein_1(points, points[order] + shift).item() == pytest.approx(50, abs=1e-3)
    assert wasserstein_1(points, points[order]).item() == pytest.approx(0, abs=1e-12)


def test_distance_on_a_line_equals_scipy() -> None:
    a, b = torch.randn(2, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    on_line = [torch.stack([x, torch.zeros(50, dtype=torch.float64)], 1) for x in (a, b)]
    assert wasserstein_1(*on_line).item() == pytest.approx(wasserstein_distance(a.numpy(), b.numpy()), rel=1e-12)


def test_no_distance_without_finite_points() -> None:
    assert wasserstein_1(torch.zeros(0, 2), torch.zeros(0, 2)).isnan()
    assert wasserstein_1(torch.tensor([[math.inf, 0.0]]), torch.zeros(1, 2)).isnan()
