"""Updates the feature metrics as one of two gloo processes. Called by test_feature_metrics.py."""

from pathlib import Path

import torch
from torch import Tensor, nn

from gan_lab.metrics.diversity import FeatureDiversity
from gan_lab.metrics.features import FeatureMetric
from gan_lab.metrics.frechet import ClassFrechetDistance, FrechetDistance
from gan_lab.metrics.kernel import KernelDistance
from gan_lab.metrics.neighbors import DensityCoverage, PrecisionRecall
from gan_lab.metrics.prd import PrecisionRecallCurve

IMAGES = 101
CLASSES = 3
METRICS = {
    "frechet": FrechetDistance,
    "class_frechet": ClassFrechetDistance,
    "kernel": KernelDistance,
    "precision_recall": PrecisionRecall,
    "density_coverage": DensityCoverage,
    "prd": PrecisionRecallCurve,
    "diversity": FeatureDiversity,
}


def make(name: str, extractor: nn.Module | None = None) -> FeatureMetric:
    """Metric by name, with options for small sets of images."""
    if name == "prd":
        return PrecisionRecallCurve(extractor, clusters=5, runs=2)
    if name == "diversity":
        return FeatureDiversity(extractor, pairs=500)
    return METRICS[name](extractor)


def images(seed: int, shift: float = 0.0) -> Tensor:
    """Features (IMAGES, 4), float32."""
    return torch.randn(IMAGES, 4, generator=torch.Generator().manual_seed(seed)) + shift


REAL, GENERATED = images(1), images(2, shift=0.5)
LABELS = torch.arange(IMAGES) % CLASSES


def give(
    metric: FeatureMetric, features: Tensor, real: bool = False, labels: Tensor = LABELS, batch: int = IMAGES
) -> None:
    """Update in batches, with labels where the metric takes them."""
    for part, of_part in zip(features.split(batch), labels.split(batch), strict=True):
        if getattr(metric, "takes_labels", False):
            metric.update(part, real, labels=of_part)
        else:
            metric.update(part, real)


def values(metric: FeatureMetric) -> dict[str, Tensor]:
    computed = metric.compute()
    return computed if isinstance(computed, dict) else {"value": computed}


def main(folder: Path) -> None:
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    found = {}
    for name in METRICS:
        metric = make(name)
        mine = slice(rank, None, 2)  # 51 and 50 images, in three updates and in two
        give(metric, GENERATED[mine], labels=LABELS[mine], batch=25)
        give(metric, REAL[mine], real=True, labels=LABELS[mine], batch=25)
        found[name] = values(metric)
        state = metric.real_state()
        metric.reset_generated()
        give(metric, GENERATED[mine], labels=LABELS[mine], batch=25)
        found[f"{name} again"] = values(metric)
        metric.reset()
        if rank == 0:  # as with a state from a cache: all real images at one process
            give(metric, REAL, real=True)
        give(metric, GENERATED[mine], labels=LABELS[mine], batch=25)
        found[f"{name} cached"] = values(metric)
        found[f"{name} state"] = state
    torch.save(found, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()
