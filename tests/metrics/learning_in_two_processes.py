"""One of two processes that learn the same real images: `python -m tests.metrics.learning_in_two_processes <folder> <name>`.

Each pass over the images leaves a file in `<folder>/passes`. Prints what the metric says of fixed generated images.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.metrics.reals import learn_reals
from tests.extracting import pixel_features

IMAGES = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Slow:
    """Images that take their time."""

    split = None

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name

    def fingerprint(self) -> str:
        return "the same"

    def reals(self, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, None]]:
        (self.folder / "passes" / self.name).touch()
        for part in IMAGES[:count].split(batch_size):
            time.sleep(0.1)
            yield part, None


def learn(folder: Path, name: str) -> float:
    """Wait for the other process, learn, and measure."""
    metric = FrechetDistance(pixel_features())
    (folder / "ready" / name).touch()
    while len(list((folder / "ready").iterdir())) < 2:
        time.sleep(0.01)
    learn_reals({"fd": metric}, Slow(folder, name), None, 8, folder / "cache")
    metric.update(IMAGES[:20] / 2)
    return float(metric.compute())


if __name__ == "__main__":
    print(learn(Path(sys.argv[1]), sys.argv[2]))
