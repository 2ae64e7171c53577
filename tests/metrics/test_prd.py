"""Precision-recall curves: closed forms for known distributions, and well-separated clusters."""

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from gan_lab.metrics.prd import PrecisionRecallCurve, cluster_fractions, max_f_score, prd_curve

HALF_F8 = 65 * 0.5 / 64.5
"""F_8 of precision 1 and recall 0.5: the best pair if the generator covers exactly half of the real states."""

HALF_F_EIGHTH = (1 + 1 / 64) * 0.5 / (1 / 64 + 0.5)


def fractions(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def blobs(per_blob: list[int], seed: int = 0) -> Tensor:
    """Points of tight clusters at the corners of a simplex, with a count for each."""
    centers = 10 * torch.eye(len(per_blob)).repeat_interleave(torch.tensor(per_blob), dim=0)
    return centers + 0.01 * torch.randn(centers.shape, generator=torch.Generator().manual_seed(seed))


def values(real: Tensor, generated: Tensor, clusters: int = 4, runs: int = 3, seed: int = 0) -> dict[str, float]:
    metric = PrecisionRecallCurve(clusters=clusters, runs=runs, seed=seed)
    metric.update(real, real=True)
    metric.update(generated)
    return {key: float(value) for key, value in metric.compute().items()}


def test_curve_of_half_of_the_states() -> None:
    """Precision min(l / 2, 1) and recall min(1 / 2, 1 / l)."""
    precision, recall = prd_curve(fractions(0.5, 0.5), fractions(1.0, 0.0))
    assert precision.shape == recall.shape == (1001,)
    slopes = np.tan(np.linspace(1e-10, np.pi / 2 - 1e-10, 1001))
    assert np.allclose(precision, np.minimum(slopes / 2, 1), atol=1e-12)
    assert np.allclose(recall, np.minimum(0.5, 1 / slopes), atol=1e-12)
    assert float(max_f_score((precision, recall), 8)) == pytest.approx(HALF_F8, abs=1e-3)
    assert float(max_f_score((precision, recall), 1 / 8)) == pytest.approx(HALF_F_EIGHTH, abs=1e-3)


def test_recall_is_precision_by_slope() -> None:
    precision, recall = prd_curve(fractions(0.1, 0.2, 0.7, 0), fractions(0.3, 0, 0.3, 0.4))
    slopes = torch.from_numpy(np.tan(np.linspace(1e-10, np.pi / 2 - 1e-10, 1001)))
    assert torch.allclose(precision / slopes, recall, rtol=1e-9)
    assert float(precision[-1]) == pytest.approx(0.6)  # fraction of generated mass on real states
    assert float(recall[0]) == pytest.approx(0.8)  # fraction of real mass on generated states
    assert bool((precision.diff() >= 0).all()) and bool((recall.diff() <= 0).all())


def test_swapping_the_sets_swaps_precision_and_recall() -> None:
    p, q = fractions(0.1, 0.2, 0.7), fractions(0.5, 0.3, 0.2)
    there, back = prd_curve(p, q), prd_curve(q, p)
    assert torch.allclose(there.precision, back.recall.flip(0), atol=1e-9)
    real, generated = torch.randn(2, 200, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [[[1.0]], [[2.0]]]
    )
    forward, backward = values(real, generated, clusters=10), values(generated, real, clusters=10)
    assert forward["f8"] == pytest.approx(backward["f_eighth"], abs=1e-6)
    assert forward["f_eighth"] == pytest.approx(backward["f8"], abs=1e-6)
    assert abs(forward["f8"] - forward["f_eighth"]) > 0.01


def test_fractions_of_the_clusters() -> None:
    found = cluster_fractions(
        blobs([10, 20, 30, 40]).double(), blobs([40, 10, 0, 50], seed=1).double(), 4, seeds=[0, 1]
    )
    for of_real, of_generated in found:
        pairs = sorted(zip(of_real.tolist(), of_generated.tolist(), strict=True))
        assert pairs == [(0.1, 0.4), (0.2, 0.1), (0.3, 0.0), (0.4, 0.5)]


def test_half_of_the_clusters() -> None:
    found = values(blobs([25, 25, 25, 25]), blobs([50, 50, 0, 0], seed=1))
    assert found["f8"] == pytest.approx(HALF_F8, abs=1e-3)
    assert found["f_eighth"] == pytest.approx(HALF_F_EIGHTH, abs=1e-3)


def test_equal_sets_have_1_and_disjoint_sets_0() -> None:
    points = torch.randn(300, 6, generator=torch.Generator().manual_seed(0))
    same = values(points, points.flip(0), clusters=20)
    assert same["f8"] == pytest.approx(1, abs=1e-6) and same["f_eighth"] == pytest.approx(1, abs=1e-6)
    apart = values(points, points + 1000, clusters=20)
    assert apart["f8"] < 1e-6 and apart["f_eighth"] < 1e-6


def test_value_is_that_of_the_mean_curve() -> None:
    real, generated = torch.randn(2, 150, 4, generator=torch.Generator().manual_seed(1))
    curves = {}
    for runs in (1, 2):
        metric = PrecisionRecallCurve(clusters=10, runs=runs)
        metric.update(real, real=True)
        metric.update(generated)
        curves[runs] = metric.curve()
        assert float(metric.compute()["f8"]) == float(max_f_score(metric.curve(), 8))
    second = 2 * curves[2].precision - curves[1].precision  # the first run is in both
    assert float(second.max()) <= 1 + 1e-12 and not torch.allclose(second, curves[1].precision, atol=1e-3)


def test_seed_chooses_the_clusters() -> None:
    real, generated = torch.randn(2, 150, 4, generator=torch.Generator().manual_seed(1))
    first, again, other = (values(real, generated, clusters=10, runs=1, seed=seed) for seed in (0, 0, 1))
    assert first == again and first != other


def test_random_state_of_numpy_is_unchanged() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    values(blobs([5, 5, 5, 5]), blobs([5, 5, 5, 5], seed=1))
    assert (np.random.get_state()[1] == before).all()


def test_collapse_onto_one_image_has_a_value() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = values(torch.zeros(30, 3), torch.ones(30, 3))
    assert found["f8"] < 1e-6


def test_unequal_numbers_of_images_are_refused() -> None:
    sentence = r"needs equal numbers of generated and real images, but has 29 generated and 30 real ones\.$"
    with pytest.raises(ValueError, match=sentence):
        values(torch.randn(30, 2), torch.randn(29, 2))


def test_number_of_threads_does_not_change_the_values(monkeypatch) -> None:
    sets = blobs([30, 20, 10]) + 3 * torch.randn(60, 3), blobs([10, 20, 30]) + 3 * torch.randn(60, 3)
    found = []
    for threads in (1, 4):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(values(*sets, clusters=6, runs=6))
    assert found[0] == found[1]
