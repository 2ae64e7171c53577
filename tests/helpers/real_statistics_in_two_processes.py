"""One of two processes that need statistics of the same real images. Called by test_real_statistics.py.

Each pass over the images leaves a file in `<folder>/passes`.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.metrics.real_statistics import load_or_compute_real_statistics
from tests.helpers.pixel_features import pixel_features

IMAGES = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Slow:
    """Data set that is slow to read."""

    split = source = content_hash = None

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name

    def fingerprint(self) -> str:
        return "the same"

    def reals(self, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, None]]:
        (self.folder / "passes" / self.name).touch()
        for part in IMAGES[:count].split(batch_size):
            time.sleep(0.1)
            yield part, None


def measured_value(folder: Path, name: str) -> float:
    """Wait for the other process, load or compute the statistics, and measure."""
    metric = FrechetDistance(pixel_features())
    (folder / "ready" / name).touch()
    while len(list((folder / "ready").iterdir())) < 2:
        time.sleep(0.01)
    load_or_compute_real_statistics({"fd": metric}, Slow(folder, name), None, 8, folder / "cache")
    metric.update(IMAGES[:20] / 2)
    return float(metric.compute())


def save_measured_value(folder: Path, name: str) -> None:
    (folder / f"{name}.txt").write_text(str(measured_value(folder, name)))
