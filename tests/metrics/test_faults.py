"""Sensitivity of metrics to known faults of increasing level: handwritten digits, over several random splits."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.metrics.kernel import KernelDistance
from gan_lab.metrics.measuring import measure
from gan_lab.metrics.neighbors import DensityCoverage, PrecisionRecall
from gan_lab.metrics.prd import PrecisionRecallCurve
from gan_lab.metrics.sliced_wasserstein import SlicedWasserstein

DIGITS = load_digits()
IMAGES = F.interpolate(
    torch.tensor(DIGITS.images, dtype=torch.float32)[:, None] / 8 - 1, scale_factor=2
)  # 16x16 pixels
LABELS = torch.tensor(DIGITS.target)
HALF = 800
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]

Fault = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""Reference, other images, their labels and a level to images with a fault."""


def noise(_: Tensor, other: Tensor, labels: Tensor, level: float) -> Tensor:
    return (other + level * torch.randn(other.shape, generator=torch.Generator().manual_seed(3))).clamp(-1, 1)


def blur(_: Tensor, other: Tensor, labels: Tensor, level: float) -> Tensor:
    size = 2 * int(level) + 1
    return F.avg_pool2d(F.pad(other, [int(level)] * 4, mode="reflect"), size, 1)


def lost_modes(_: Tensor, other: Tensor, labels: Tensor, level: float) -> Tensor:
    kept = other[labels >= level]
    return kept[torch.arange(len(other)) % len(kept)]


def by_heart(reference: Tensor, other: Tensor, labels: Tensor, level: float) -> Tensor:
    copies = round(level * len(other))
    return torch.cat([reference[:copies], other[copies:]])


LEVELS: dict[Fault, list[float]] = {
    noise: [0, 0.2, 0.4, 0.8],
    blur: [0, 1, 2, 3],
    lost_modes: [0, 3, 6, 9],
    by_heart: [0, 0.3, 0.6, 1],
}


def metrics() -> dict[str, Metric]:
    return {
        "fd": FrechetDistance(nn.Flatten()),
        "kd": KernelDistance(nn.Flatten()),
        "pr": PrecisionRecall(nn.Flatten()),
        "dc": DensityCoverage(nn.Flatten()),
        "prd": PrecisionRecallCurve(nn.Flatten(), runs=2),
        "swd": SlicedWasserstein(images=HALF, patches=16, directions=64),
    }


@pytest.fixture(scope="module", params=SEEDS)
def curves(request: pytest.FixtureRequest) -> dict[Fault, dict[str, list[float]]]:
    """For each fault the values of every metric over its levels."""
    ours, theirs = torch.randperm(len(IMAGES), generator=torch.Generator().manual_seed(request.param))[: 2 * HALF].view(
        2, -1
    )
    instances = metrics()
    for metric in instances.values():
        metric.update(IMAGES[ours], real=True)

    def measured(images: Tensor) -> dict[str, float]:
        values = measure(instances, [(images, None)])
        return {
            key.replace("_Flatten", "").rpartition("_")[0]: value
            for part in values.values()
            for key, value in part.items()
        }

    without_fault = measured(IMAGES[theirs])  # level 0 of each
    found: dict[Fault, dict[str, list[float]]] = {}
    for fault, (zero, *levels) in LEVELS.items():
        assert zero == 0
        steps = [measured(fault(IMAGES[ours], IMAGES[theirs], LABELS[theirs], level)) for level in levels]
        found[fault] = {name: [step[name] for step in (without_fault, *steps)] for name in without_fault}
    return found


def rises(values: list[float]) -> bool:
    return all(after > before for before, after in pairwise(values))


@pytest.mark.parametrize("fault", [noise, blur, lost_modes])
def test_distances_rise_with_every_step_of_a_fault(fault: Fault, curves: dict[Fault, dict[str, list[float]]]) -> None:
    for name in ("fd", "kd_distance", "swd_mean"):
        assert rises(curves[fault][name]), (name, curves[fault][name])


def test_variety_falls_with_every_lost_mode(curves: dict[Fault, dict[str, list[float]]]) -> None:
    for name in ("pr_recall", "prd_f8", "dc_coverage"):
        assert rises([-value for value in curves[lost_modes][name]]), (name, curves[lost_modes][name])


def test_recall_mistakes_noise_for_diversity(curves: dict[Fault, dict[str, list[float]]]) -> None:
    """Noisy images are far from each other, so their neighborhoods contain every real image; coverage detects it."""
    assert curves[noise]["pr_recall"][-1] == 1 and curves[noise]["dc_coverage"][-1] < 0.6


def test_precision_distinguishes_noise_from_missing_modes(curves: dict[Fault, dict[str, list[float]]]) -> None:
    precision = {fault: values["pr_precision"] for fault, values in curves.items()}
    assert precision[noise][-1] < 0.2 < 0.8 < precision[lost_modes][-1]
    assert curves[lost_modes]["dc_coverage"][-1] < 0.3


def test_no_distance_detects_a_generator_that_copies(curves: dict[Fault, dict[str, list[float]]]) -> None:
    assert rises([-value for value in curves[by_heart]["fd"]]), curves[by_heart]["fd"]
    for name in ("fd", "swd_mean"):
        assert curves[by_heart][name][-1] == pytest.approx(0, abs=1e-6)
    for name in ("pr_precision", "pr_recall", "dc_coverage", "prd_f8"):
        assert curves[by_heart][name][-1] == pytest.approx(1)
