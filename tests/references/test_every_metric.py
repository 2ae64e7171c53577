"""Every metric of conf/metrics, on random data, against its formula in NumPy, SciPy or a library of others."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from sklearn.metrics import accuracy_score
from torch import Tensor, nn
from torchmetrics import Metric

from gan_lab.config.schema import CONF
from gan_lab.data.mixtures import ring
from gan_lab.metrics.classification import ClassificationError
from gan_lab.metrics.digits import StackedModes
from gan_lab.metrics.diversity import FeatureDiversity
from gan_lab.metrics.encoders import EncoderNeighbors, ReconstructionError
from gan_lab.metrics.frechet import ClassFrechetDistance, FrechetDistance
from gan_lab.metrics.kernel import KernelDistance
from gan_lab.metrics.ms_ssim import MSSSIM
from gan_lab.metrics.neighbors import DensityCoverage, PrecisionRecall
from gan_lab.metrics.pairs import FeatureDistances, PixelDistances
from gan_lab.metrics.points import HistogramDivergence, ModeCoverage, Wasserstein
from gan_lab.metrics.prd import PrecisionRecallCurve
from gan_lab.metrics.scores import InceptionScore, LabelAccuracy, ModeScore
from gan_lab.metrics.sliced_wasserstein import SlicedWasserstein
from gan_lab.noise import Noise, mix
from tests.helpers.digit_metrics_in_two_processes import Brightness, stack
from tests.references import features, images, points, predictions

Values = dict[str, float]

GENERATOR = np.random.default_rng(0)
REAL = GENERATOR.normal(size=(200, 6)) * [1, 1, 2, 2, 3, 3]
GENERATED = GENERATOR.normal(size=(200, 6)) * [1, 2, 1, 3, 2, 3] + 0.5
LABELS = np.arange(200) % 3
LOGITS = 3 * GENERATOR.normal(size=(150, 10))
TRAIN = np.arange(1.0, 11.0) / 55
PIXELS, TARGETS = (GENERATOR.integers(256, size=(6, 1, 32, 32)) for _ in range(2))
RING = ring()
POINTS = np.concatenate([points.ring()[:5].repeat(100, 0) + GENERATOR.normal(size=(500, 2)) / 5, 4 * np.eye(2)])
STATE = GENERATOR.bit_generator.state


class Halves:
    """Encoder whose latents are the left half of an image, and whose features are all of it, squared."""

    def encode(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return samples[..., :16].flatten(1)

    def features(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return samples.flatten(1).square()

    def reconstruct(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        return samples.flip(-1)


class LabeledLogits:
    """Logits as test images, with labels of which a classifier that takes the largest errs on some."""

    labels = np.where(np.arange(150) % 4, LOGITS.argmax(1), 0)

    def reals(self, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        yield torch.tensor(LOGITS), torch.tensor(self.labels)


@pytest.fixture(autouse=True)
def _same_data_for_each_test() -> None:
    GENERATOR.bit_generator.state = STATE


def as_images(pixels: np.ndarray) -> Tensor:
    """Bytes on the scale [-1, 1]."""
    return torch.tensor(pixels / 127.5 - 1, dtype=torch.float32)


def of_sets(metric: Metric, real: Any = REAL, generated: Any = GENERATED, **labels: Tensor) -> Values:
    metric.update(torch.as_tensor(real), real=True, **labels)
    metric.update(torch.as_tensor(generated), **labels)
    return computed(metric)


def of_samples(metric: Metric, *samples: Any) -> Values:
    metric.update(*(torch.as_tensor(each) for each in samples))
    return computed(metric)


def computed(metric: Metric) -> Values:
    found = metric.compute()
    return {key: float(value) for key, value in (found if isinstance(found, dict) else {"": found}).items()}


def class_frechet() -> tuple[Values, Values]:
    found = of_sets(ClassFrechetDistance(), labels=torch.tensor(LABELS))
    return found, features.class_frechet_distance(REAL, GENERATED, LABELS)


def kernel() -> tuple[Values, Values]:
    found = of_sets(KernelDistance())
    return {"distance": found["distance"]}, {"distance": features.kernel_distance(REAL, GENERATED)}


def curve() -> tuple[Values, Values]:
    """Five distant clusters, which k-means finds, with other fractions in either set."""
    centers = 100 * np.eye(6)[:5]
    which = [GENERATOR.choice(5, size=200, p=p) for p in ([0.1, 0.2, 0.3, 0.4, 0], [0.4, 0.3, 0, 0.2, 0.1])]
    sets = [centers[rows] + GENERATOR.normal(size=(200, 6)) for rows in which]
    fractions = [np.bincount(rows, minlength=5) / 200 for rows in which]
    return of_sets(PrecisionRecallCurve(clusters=5, runs=2), *sets), features.f_scores(*fractions)


def neighborhoods(metric: Metric, k: int, *names: str) -> tuple[Values, Values]:
    expected = features.neighborhoods(REAL, GENERATED, k)
    return of_sets(metric), {name: expected[name] for name in names}


def diversity() -> tuple[Values, Values]:
    sets = {"generated": GENERATED, "real": REAL}
    return of_sets(FeatureDiversity(pairs=10**6)), {name: features.diversity(rows) for name, rows in sets.items()}


def sliced_wasserstein() -> tuple[Values, Values]:
    """With other random patches and directions, so only nearly equal: see the tolerance."""
    sets = [GENERATOR.normal(size=(40, 1, 16, 16)).cumsum(3).cumsum(axis) for axis in (2, 3)]
    pixels = [np.round(127 + 30 * each / each.std()).clip(0, 255) for each in sets]
    directions = GENERATOR.normal(size=(49, 500))
    rows = [images.patches(images.laplacian_pyramid(each, 1)[0]) for each in pixels]
    expected = 1000 * features.sliced_distance(*rows, directions / np.linalg.norm(directions, axis=0))
    found = of_sets(SlicedWasserstein(patches=300, directions=500), *map(as_images, pixels))
    return found, {"16": expected, "mean": expected}


def ms_ssim() -> tuple[Values, Values]:
    pairs = PIXELS.astype(float).reshape(3, 2, 1, 32, 32)
    mixed = np.stack([pairs[:, 0], (pairs.sum(1) / 2).round()], 1)  # noise alone would have almost 0
    found = of_samples(MSSSIM(), as_images(mixed.reshape(6, 1, 32, 32)))
    return found, {"": float(np.mean([images.ms_ssim(*pair) for pair in mixed]))}


def pixel_pairs() -> tuple[Values, Values]:
    found = of_samples(PixelDistances(), as_images(PIXELS), as_images(TARGETS))
    pairs = list(zip(PIXELS[:, 0] / 255, TARGETS[:, 0] / 255, strict=True))
    formulas = {"l1": lambda a, b: np.abs(a - b).mean(), "psnr": images.psnr, "ssim": images.ssim}
    return found, {name: float(np.mean([formula(*pair) for pair in pairs])) for name, formula in formulas.items()}


def mode_scores() -> tuple[Values, Values]:
    return of_samples(ModeScore(nn.Identity(), TRAIN), LOGITS), {
        "mode": predictions.mode_score(LOGITS, TRAIN),
        "penalized": predictions.penalized_mode_score(LOGITS, TRAIN),
        "inception": predictions.inception_score(LOGITS),
    }


def stacked() -> tuple[Values, Values]:
    labels = GENERATOR.integers(300, size=400)
    digits = np.stack([labels % 10, labels // 10 % 10, labels // 100], 1)
    return of_samples(StackedModes(Brightness()), stack(torch.tensor(labels))), predictions.stacked_modes(digits)


def label_accuracy() -> tuple[Values, Values]:
    labels = GENERATOR.integers(10, size=len(LOGITS))
    found = of_samples(LabelAccuracy(nn.Identity), LOGITS, labels)
    return found, {"": accuracy_score(labels, LOGITS.argmax(1))}


def classification_error() -> tuple[Values, Values]:
    metric = ClassificationError(LabeledLogits())  # type: ignore[arg-type]
    metric.use_classifier(nn.Identity())
    metric.update(torch.tensor(LOGITS))
    return computed(metric), {"": 1 - accuracy_score(LabeledLogits.labels, LOGITS.argmax(1))}


def encoder_neighbors() -> tuple[Values, Values]:
    """Noisy copies of three images, each classified by the others."""
    labels = np.arange(60) % 3
    pixels = np.clip(PIXELS[labels] / 8 + GENERATOR.integers(256, size=(60, 1, 32, 32)), 0, 255)
    metric = EncoderNeighbors(queries=60)
    metric.encoder = Halves()
    metric.update(as_images(pixels.round()), real=True, labels=torch.tensor(labels))
    rows = {"latents": metric.encoder.encode, "features": metric.encoder.features}
    expected = {}
    for name, function in rows.items():
        each = function(as_images(pixels.round())).double().numpy()
        others = [np.arange(60) != k for k in range(60)]
        expected[name] = np.mean(
            [features.nearest_neighbor_accuracy(each[of], labels[of], each[~of], labels[~of]) for of in others]
        )
    return computed(metric), expected


def reconstruction() -> tuple[Values, Values]:
    metric = ReconstructionError()
    metric.encoder = Halves()

    def distances(pixels: np.ndarray, shift: int) -> float:
        other = np.roll(pixels, -shift, 0) / 255
        return float(np.linalg.norm((other - pixels[..., ::-1] / 255).reshape(6, -1), axis=1).mean())

    found = of_sets(metric, as_images(TARGETS), as_images(PIXELS))
    sets = {
        "real": (TARGETS, 0),
        "real_random": (TARGETS, 1),
        "generated": (PIXELS, 0),
        "generated_random": (PIXELS, 1),
    }
    return found, {name: distances(*each) for name, each in sets.items()}


def coverage() -> tuple[Values, Values]:
    counts = points.counts_per_mode(POINTS, points.ring(), RING.std)
    return of_samples(ModeCoverage(RING), POINTS), {
        "modes": (counts > 0).sum(),
        "high_quality": counts.sum() / len(POINTS),
        "reverse_kl": points.reverse_kl_of_modes(counts),
    }


def divergence() -> tuple[Values, Values]:
    forward, reverse = points.divergences(POINTS, points.ring(), RING.std)
    expected = {"symmetric": forward + reverse, "forward": forward, "reverse": reverse}
    return of_samples(HistogramDivergence(RING), POINTS), expected


def wasserstein() -> tuple[Values, Values]:
    true = RING.sample(Noise(mix(0), len(POINTS)))[0].double().numpy()
    return of_samples(Wasserstein(RING), POINTS), {"distance": points.wasserstein(POINTS, true)}


CASES: dict[type[Metric], Callable[[], tuple[Values, Values]]] = {
    FrechetDistance: lambda: (of_sets(FrechetDistance()), {"": features.frechet_distance(REAL, GENERATED)}),
    ClassFrechetDistance: class_frechet,
    KernelDistance: kernel,
    PrecisionRecall: lambda: neighborhoods(PrecisionRecall(k=3), 3, "precision", "recall"),
    DensityCoverage: lambda: neighborhoods(DensityCoverage(k=5), 5, "density", "coverage"),
    PrecisionRecallCurve: curve,
    FeatureDiversity: diversity,
    SlicedWasserstein: sliced_wasserstein,
    MSSSIM: ms_ssim,
    PixelDistances: pixel_pairs,
    FeatureDistances: lambda: (
        of_samples(FeatureDistances(), GENERATED, REAL),
        features.distances_of_pairs(GENERATED, REAL),
    ),
    InceptionScore: lambda: (
        of_samples(InceptionScore(nn.Identity(), splits=1), LOGITS),
        {"mean": predictions.inception_score(LOGITS), "std": 0.0},
    ),
    ModeScore: mode_scores,
    StackedModes: stacked,
    LabelAccuracy: label_accuracy,
    ClassificationError: classification_error,
    EncoderNeighbors: encoder_neighbors,
    ReconstructionError: reconstruction,
    ModeCoverage: coverage,
    HistogramDivergence: divergence,
    Wasserstein: wasserstein,
}
"""Values of each metric and of its formula."""

RANDOM = {SlicedWasserstein: 0.05}
"""Relative differences of metrics with random numbers of their own; the others have rounding errors."""


def metrics_of(file: Path) -> Iterator[str]:
    """Classes of the metrics in a file of conf/metrics."""
    nodes = yaml.safe_load(file.read_text())["evaluation"]["metrics"].values()
    return (node["_target_"] for node in nodes)


@pytest.mark.parametrize("metric", CASES, ids=lambda metric: metric.__name__)
def test_the_metric_equals_its_formula(metric: type[Metric]) -> None:
    found, expected = CASES[metric]()
    assert found == pytest.approx({key: float(value) for key, value in expected.items()}, rel=RANDOM.get(metric, 1e-6))


def test_every_metric_has_a_reference() -> None:
    chosen = {target for file in (CONF / "metrics").glob("*.yaml") for target in metrics_of(file)}
    assert chosen == {f"{metric.__module__}.{metric.__qualname__}" for metric in CASES}
