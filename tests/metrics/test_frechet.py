"""Fréchet distances: closed forms, SciPy's matrix square root, and symmetries."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from gan_lab.metrics.frechet import ClassFrechetDistance, FrechetDistance, frechet_distance, moments


def normal(count: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distance(real: Tensor, generated: Tensor, batch: int = 64) -> float:
    metric = FrechetDistance()
    for part in real.split(batch):
        metric.update(part, real=True)
    for part in generated.split(batch):
        metric.update(part)
    return float(metric.compute())


def by_scipy(real: Tensor, generated: Tensor) -> float:
    """The usual computation of FID, with NumPy's moments and the square root of a nonsymmetric product."""
    a, b = real.numpy(), generated.numpy()
    of_a, of_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(of_a @ of_b)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(of_a + of_b - 2 * root.real))


def by_singular_values(real: Tensor, generated: Tensor) -> float:
    """The trace of the square root from singular values of inner products of images, without covariances."""
    a, b = real - real.mean(0), generated - generated.mean(0)
    singular = np.linalg.svd((a @ b.T).numpy(), compute_uv=False).sum() / math.sqrt((len(a) - 1) * (len(b) - 1))
    traces = float(a.square().sum() / (len(a) - 1) + b.square().sum() / (len(b) - 1))
    return float((real.mean(0) - generated.mean(0)).square().sum()) + traces - 2 * singular


def test_two_normal_distributions_on_a_line() -> None:
    """(0 - 2)² + (1 - 3)² for N(0, 1) and N(2, 9)."""
    numbers = [torch.tensor(number, dtype=torch.float64) for number in ([0.0], [[1.0]], [2.0], [[9.0]])]
    assert float(frechet_distance(*numbers)) == pytest.approx(8, rel=1e-14)
    standard = normal(1000, 1)
    standard = (standard - standard.mean()) / standard.std()
    other = normal(700, 1, seed=1)
    other = 2 + 3 * (other - other.mean()) / other.std()
    assert distance(standard, other) == pytest.approx(8, rel=1e-12)


def test_moments_are_unbiased() -> None:
    features = normal(50, 6) @ normal(6, 6, seed=1) + 100
    mean, covariance = moments(features)
    assert np.allclose(mean, features.numpy().mean(0), rtol=1e-14)
    assert np.allclose(covariance, np.cov(features.numpy(), rowvar=False), rtol=1e-9)


@pytest.mark.parametrize("batch", [7, 1000])
def test_full_rank_equals_scipy(batch: int) -> None:
    real, generated = normal(300, 12) @ normal(12, 12, seed=1), normal(200, 12, seed=2) @ normal(12, 12, seed=3) + 0.3
    expected = by_scipy(real, generated)
    assert expected == pytest.approx(by_singular_values(real, generated), rel=1e-10)
    assert distance(real, generated, batch) == pytest.approx(expected, rel=1e-10)


@pytest.mark.filterwarnings("ignore:Matrix is singular")
@pytest.mark.parametrize(("reals", "generateds"), [(20, 30), (20, 200), (300, 2), (2, 2)])
def test_fewer_images_than_features(reals: int, generateds: int) -> None:
    """With singular covariances SciPy's matrix square root is inaccurate; the singular values are not."""
    real, generated = normal(reals, 64), 1.5 * normal(generateds, 64, seed=1) + 0.1
    found = distance(real, generated)
    assert found == pytest.approx(by_singular_values(real, generated), rel=1e-11)
    assert found == pytest.approx(by_scipy(real, generated), abs=1e-4)


@pytest.mark.parametrize(("count", "size"), [(500, 8), (20, 64)])
def test_same_set_has_distance_0(count: int, size: int) -> None:
    features = normal(count, size) @ normal(size, size, seed=1)
    assert 0 <= distance(features, features.flip(0)) < 1e-6


def test_rotation_of_both_sets_has_no_effect() -> None:
    rotation = torch.linalg.qr(normal(10, 10))[0]
    sizes = torch.arange(1, 11)
    real, generated = normal(100, 10, seed=1) * sizes, normal(100, 10, seed=2) * sizes.sqrt()
    assert distance(real @ rotation, generated @ rotation) == pytest.approx(distance(real, generated), rel=1e-11)
    assert distance(generated, real) == pytest.approx(distance(real, generated), rel=1e-11)
    assert distance(real @ rotation, generated) != pytest.approx(distance(real, generated), rel=1e-2)


def test_collapse_onto_one_image() -> None:
    """The covariance of the generated images is 0."""
    real, generated = normal(100, 5), torch.full((100, 5), 0.3)
    mean, covariance = moments(real)
    expected = (mean - generated[0]).square().sum() + covariance.trace()
    assert distance(real, generated) == pytest.approx(float(expected), rel=1e-7)
    assert distance(generated, generated + 1) == pytest.approx(5, rel=1e-6)


@pytest.mark.parametrize(("count", "expected"), [(100, 21.6), (500, 4.45)])
def test_bias_of_small_sets(count: int, expected: float) -> None:
    """Two sets from the same distribution in 64 dimensions; expected values from independent code."""
    values = [distance(normal(count, 64, seed=seed), normal(count, 64, seed=seed + 50)) for seed in range(4)]
    assert sum(values) / 4 == pytest.approx(expected, rel=0.03)


# --- within classes


def class_values(real: Tensor, generated: Tensor, real_labels: Tensor, generated_labels: Tensor) -> dict[str, float]:
    metric = ClassFrechetDistance()
    metric.update(real, real=True, labels=real_labels)
    metric.update(generated, labels=generated_labels)
    return {key: float(value) for key, value in metric.compute().items()}


@pytest.mark.parametrize("size", [4, 64])
def test_each_class_is_compared_with_itself(size: int) -> None:
    """30 images of each class, more and fewer than the number of features."""
    labels = torch.arange(90) % 3 + 5
    real, generated = normal(90, size), normal(90, size, seed=1)
    generated[labels == 6] *= 3
    alone = [distance(real[labels == label], generated[labels == label]) for label in (5, 6, 7)]
    found = class_values(real, generated, labels, labels)
    assert found["mean"] == pytest.approx(sum(alone) / 3, rel=1e-10)
    assert found["worst"] == pytest.approx(max(alone), rel=1e-10) and found["worst_class"] == 6


def test_wrong_labels_raise_the_distance() -> None:
    labels = torch.arange(100) % 2
    real = normal(100, 4) + 10 * labels[:, None]
    assert distance(real, real) < 1e-6
    assert class_values(real, real, labels, 1 - labels)["mean"] > 300
    assert class_values(real, real, labels, labels)["worst"] < 1e-6


@pytest.mark.parametrize(
    ("real_labels", "generated_labels", "sentence"),
    [
        ([0, 0, 1, 1], [0, 0, 0, 1], "2 generated images of each class, but has 1 of class 1"),
        ([0, 0, 0, 1], [0, 0, 1, 1], "2 real images of each class, but has 1 of class 1"),
        ([0, 0, 1, 1], [0, 0, 0, 0], "2 generated images of each class, but has 0 of class 1"),
        ([0, 0, 0, 0], [0, 0, 7, 7], "2 real images of each class, but has 0 of class 7"),
    ],
)
def test_classes_with_too_few_images_are_refused(real_labels: list, generated_labels: list, sentence: str) -> None:
    with pytest.raises(ValueError, match=rf"^ClassFrechetDistance needs at least {sentence}\.$"):
        class_values(normal(4, 2), normal(4, 2), torch.tensor(real_labels), torch.tensor(generated_labels))


@pytest.mark.parametrize(("labels", "given"), [(None, "none"), (torch.zeros(4, 3), r"\(4, 3\)")])
def test_images_without_labels_are_refused(labels: Tensor | None, given: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^ClassFrechetDistance needs a label for each of 4 images, but got {given}\.$"
    ):
        ClassFrechetDistance().update(normal(4, 2), labels=labels)


def test_real_images_are_decomposed_once(monkeypatch) -> None:
    decomposed, original = [], torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda matrix: decomposed.append(matrix) or original(matrix))
    metric, sets = FrechetDistance(), [normal(50, 4, seed) for seed in range(4)]
    metric.update(sets[0], real=True)
    for generated in sets[1:3]:
        metric.reset_generated()
        metric.update(generated)
        assert float(metric.compute()) == pytest.approx(distance(sets[0], generated))
    assert len(decomposed) == 3 + 4  # and two for each `distance`
    metric.update(sets[3], real=True)
    assert float(metric.compute()) == pytest.approx(distance(torch.cat([sets[0], sets[3]]), sets[2]))
