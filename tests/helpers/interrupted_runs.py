"""Training with and without interruptions, and comparison of the results."""

import copy
import csv
import os
import signal
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.plugins import MixedPrecision
from omegaconf import DictConfig, OmegaConf

from gan_lab.config.compose import compose
from gan_lab.training.fit import fit
from tests.conftest import TINY
from tests.helpers.equality import plain, unequal
from tests.helpers.model_data import small_data

STOPS = {
    "mid_epoch": (24,),
    "end_of_epoch": (40, 64),
    "between_evaluations": (64, 80),
    "every_batch": tuple(range(8, 112, 8)),
}
"""Images after which a run is stopped: an epoch has 5 batches of 8, and evaluations are due after 48 and 96 images."""
WORKERS = (0, 2)
BUDGET = 112
TIME_KEYS = {"progress/images_per_second", "eval/seconds"}


class SignalAt(Callback):
    """Sends SIGTERM to the last process during the batch that reaches `images`."""

    def __init__(self, images: int) -> None:
        self.images = images

    def on_train_batch_start(self, trainer: Any, module: Any, *_: object) -> None:
        if module.images_seen + 8 == self.images and trainer.global_rank == trainer.world_size - 1:
            os.kill(os.getpid(), signal.SIGTERM)


class HalfPrecision(Callback):
    """Trains on a CPU in float16 with a gradient scaler, which only GPUs have by default.

    Args:
        init_scale: The initial scale.
        growth_interval: Steps after which the scale is doubled.
    """

    def __init__(self, init_scale: float, growth_interval: int) -> None:
        self.scaler = torch.amp.GradScaler("cpu", init_scale=init_scale, growth_interval=growth_interval)

    def setup(self, trainer: Any, module: Any, stage: str) -> None:
        trainer.strategy.precision_plugin = MixedPrecision("16-mixed", "cpu", scaler=self.scaler)


@cache  # composing takes longer than training
def composed(model: str, hardware: str) -> DictConfig:
    """The config of 14 batches of images without a cache, with a log and evaluations."""
    overrides = [
        override
        for override in TINY
        if "checkpoints" not in override and "logger" not in override and "hardware" not in override
    ]
    data = (*small_data(model), "dataset.max_images=44", "dataset.flip=true", "dataset.cache=none")
    measured = (
        "evaluation.every_images=48",
        "evaluation.samples=8",
        "evaluation.max_time_fraction=1",
        "metrics=[ms_ssim]",
    )
    log = ("logger=[csv]", "callbacks.train_log.every_batches=3", "callbacks.checkpoints.every_images=1000")
    own = ["allow_targets=[tests]"]  # SignalAt
    if model == "semi_supervised":
        own.append("algorithm.labeled.per_class=1")  # of 44 images
    return compose(
        *overrides, f"model={model}", f"hardware={hardware}", f"budget.images={BUDGET}", *data, *measured, *log, *own
    )


def settings(
    model: str, hardware: str, folder: Path, workers: int, stop: int | None = None, **callbacks: Any
) -> DictConfig:
    cfg = copy.deepcopy(composed(model, hardware))
    OmegaConf.update(cfg, "run.dir", str(folder))
    OmegaConf.update(cfg, "hardware.num_workers", workers)
    if stop is not None:
        callbacks["stop"] = {"_target_": "tests.helpers.interrupted_runs.SignalAt", "images": stop}
    for name, node in callbacks.items():
        OmegaConf.update(cfg, f"callbacks.{name}", node, force_add=True)
    return cfg


def train_uninterrupted(folder: Path, model: str, hardware: str, **callbacks: Any) -> None:
    """Train without interruptions."""
    save_weights(fit(settings(model, hardware, folder, workers=0, **callbacks)), folder)


def train_in_parts(folder: Path, model: str, hardware: str, stop: str, workers: int, **callbacks: Any) -> None:
    """Train with interruptions by a signal after each number of images in `STOPS`; each part resumes the last."""
    for images in STOPS[stop]:
        part = fit(settings(model, hardware, folder, workers, images, **callbacks)).module
        assert (part.interrupted, part.images_seen) == ("SIGTERM", images)
    save_weights(fit(settings(model, hardware, folder, workers, **callbacks)), folder)


def save_weights(experiment: Any, folder: Path) -> None:
    assert experiment.module.images_seen == BUDGET and experiment.module.interrupted is None
    # Running statistics differ between processes, but only those of the first are used.
    weights = dict(experiment.module.named_parameters())
    torch.save(weights, folder / f"rank_{experiment.trainer.global_rank}.pt")


def differences(a: Path, b: Path) -> list[str]:
    """Differences between two runs: in the weights of each process, the checkpoint and the rows of the log."""
    found = [
        f"{file.name}: {key}"
        for file in (*a.glob("rank_*.pt"), a / "checkpoints" / "last.ckpt")
        for key in unequal(plain(torch.load(file)), plain(torch.load(b / file.relative_to(a))))
    ]
    rows = [list(csv.DictReader((folder / "metrics.csv").open())) for folder in (a, b)]
    if [without_times(row) for row in rows[0]] != [without_times(row) for row in rows[1]]:
        found.append("metrics.csv")
    return found


def without_times(row: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in row.items() if key not in TIME_KEYS and not key.startswith("time/")}


def run_cases(folder: Path, cases: list[str], hardware: str, **callbacks: Any) -> None:
    """Train every case and, once per model, the uninterrupted run, with additional nodes of `callbacks`."""
    for case in cases:
        model, stop, workers = case.split("/")
        if not (folder / model / "uninterrupted").is_dir():
            train_uninterrupted(folder / model / "uninterrupted", model, hardware, **callbacks)
        train_in_parts(folder / model / f"{stop}_{workers}", model, hardware, stop, int(workers), **callbacks)
