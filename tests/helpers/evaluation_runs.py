"""Short run with evaluations, and metrics with scripted values."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers.logger import Logger
from torch import Tensor
from torchmetrics import Metric

from gan_lab.callbacks.evaluation import Evaluation
from gan_lab.config.build import Experiment, build
from gan_lab.config.compose import compose
from tests.conftest import TINY

POINTS = ("dataset=ring", "architecture=mlp", "architecture.generator.norm=none", "budget.images=96")
MEASURED = (
    "metrics=points",
    "evaluation.samples=700",
    "evaluation.metrics.wasserstein.points=50",
    "evaluation.max_time_fraction=1",
)


def settings(folder: Path, *more: str) -> list[str]:
    return [*TINY, *POINTS, f"run.dir={folder}", "logger=[csv]", *more]


def lines(folder: Path) -> list[dict[str, str]]:
    with open(folder / "evaluations.csv") as file:
        return list(csv.DictReader(file))


class Scripted(Metric):
    """Metric that returns the next of these values at each evaluation, the same for both generators."""

    higher_is_better: bool | None = True
    lower_is_better = ("down",)

    def __init__(self, values: Sequence[float], single: bool = False) -> None:
        super().__init__()
        self.values, self.single = [float(value) for value in values for _ in range(2)], single

    def update(self, samples: Tensor) -> None: ...

    def compute(self) -> Tensor | dict[str, Tensor]:
        value = torch.tensor(self.values.pop(0))
        return value if self.single else {"up": value, "down": value}


class Lower(Scripted):
    higher_is_better = False


class Silent(Scripted):
    higher_is_better = None


def evaluated(
    folder: Path, metrics: dict[str, Metric | None], *overrides: str, resume: Path | None = None,
    more: Sequence[Callback] = (), loggers: Sequence[Logger] = (), **options: Any,
) -> Experiment:  # fmt: skip
    """Run of 96 points in batches of 8 with this callback, evaluated at 32, 64 and 96 by default."""
    experiment = build(compose(*settings(folder, "logger=[]", *overrides)))
    options = {"budget_images": 96, "samples": 16, "every_images": 32, "max_time_fraction": 1, **options}
    callback = Evaluation(metrics, str(folder), **options)
    trainer = experiment.trainer
    trainer.callbacks[:] = [c for c in trainer.callbacks if not isinstance(c, Evaluation)] + [*more, callback]
    if loggers:
        trainer.loggers = list(loggers)
    trainer.fit(experiment.module, datamodule=experiment.data, ckpt_path=resume, weights_only=True if resume else None)
    return experiment


def seen_by(folder: Path) -> list[int]:
    """Images seen at each evaluation."""
    return list(dict.fromkeys(int(row["images_seen"]) for row in lines(folder)))
