"""Trains models whole and in two parts, and compares everything they leave. Used by test_exact_resume.py.

As a program it is one of two gloo processes: `python -m tests.exact_resume FOLDER model/stop/workers ...`.
"""

import copy
import csv
import os
import signal
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from omegaconf import DictConfig, OmegaConf

from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from tests.conftest import TINY

STOPS = {
    "mid_epoch": (24,),
    "end_of_epoch": (40, 64),
    "between_evaluations": (64, 80),
    "every_batch": tuple(range(8, 112, 8)),
}
"""Images after which a run is stopped, again and again: an epoch has 5 batches of 8, and evaluations are due after 48 and 96."""
WORKERS = (0, 2)
BUDGET = 112
NUMBERS_OF_THE_CLOCK = {"progress/images_per_second", "eval/seconds"}


class SignalAt(Callback):
    """Has the last of the processes get SIGTERM in the middle of the work after the batch that reaches `images`."""

    def __init__(self, images: int) -> None:
        self.images = images

    def on_train_batch_start(self, trainer: Any, module: Any, *_: object) -> None:
        if module.images_seen + 8 == self.images and trainer.global_rank == trainer.world_size - 1:
            os.kill(os.getpid(), signal.SIGTERM)


@cache  # composing takes longer than training
def composed(model: str, hardware: str) -> DictConfig:
    """14 batches of images that are decoded as they are needed, with a log and with evaluations."""
    words = [word for word in TINY if "checkpoints" not in word and "logger" not in word and "hardware" not in word]
    side = 32 if model in ("biggan", "biggan_deep", "sagan") else 16
    data = (f"dataset.resolution={side}", "dataset.max_images=44", "dataset.flip=true", "dataset.cache=none")
    measured = ("evaluation.every_images=48", "evaluation.samples=8", "evaluation.max_share=1", "metrics=[ms_ssim]")
    log = ("logger=[csv]", "callbacks.train_log.every_batches=3", "callbacks.checkpoints.every_images=1000")
    own = "allow_targets=[tests]"  # SignalAt
    return compose(
        *words, f"model={model}", f"hardware={hardware}", f"budget.images={BUDGET}", *data, *measured, *log, own
    )


def settings(model: str, hardware: str, folder: Path, workers: int, stop: int | None = None) -> DictConfig:
    cfg = copy.deepcopy(composed(model, hardware))
    OmegaConf.update(cfg, "run.dir", str(folder))
    OmegaConf.update(cfg, "hardware.num_workers", workers)
    if stop is not None:
        stopper = {"_target_": "tests.exact_resume.SignalAt", "images": stop}
        OmegaConf.update(cfg, "callbacks.stop", stopper, force_add=True)
    return cfg


def train_whole(folder: Path, model: str, hardware: str) -> None:
    """The run that nobody stops."""
    keep(fit(settings(model, hardware, folder, workers=0)), folder)


def train_in_parts(folder: Path, model: str, hardware: str, stop: str, workers: int) -> None:
    """The run that is stopped by a signal, and goes on by the same command, as often as `STOPS` says."""
    for images in STOPS[stop]:
        part = fit(settings(model, hardware, folder, workers, images)).module
        assert (part.interrupted, part.images_seen) == ("SIGTERM", images)
    keep(fit(settings(model, hardware, folder, workers)), folder)


def keep(experiment: Any, folder: Path) -> None:
    assert experiment.module.images_seen == BUDGET and experiment.module.interrupted is None
    # Running statistics of other processes than the first are their own, and nobody reads them.
    weights = dict(experiment.module.named_parameters())
    torch.save(weights, folder / f"rank_{experiment.trainer.global_rank}.pt")


def differences(a: Path, b: Path) -> list[str]:
    """Everything in which two runs differ: weights of each process, checkpoint, and rows of the log."""
    found = [
        f"{file.name}: {key}"
        for file in (*a.glob("rank_*.pt"), a / "checkpoints" / "last.ckpt")
        for key in unequal(plain(torch.load(file)), plain(torch.load(b / file.relative_to(a))))
    ]
    rows = [list(csv.DictReader((folder / "metrics.csv").open())) for folder in (a, b)]
    if [timeless(row) for row in rows[0]] != [timeless(row) for row in rows[1]]:
        found.append("metrics.csv")
    return found


def timeless(row: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in row.items() if key not in NUMBERS_OF_THE_CLOCK and not key.startswith("time/")}


def plain(content: dict[str, Any]) -> dict[str, Any]:
    """All but the config, which names the folder."""
    return {key: value for key, value in content.items() if key != "gan_lab"}


def unequal(a: Any, b: Any, key: str = "") -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        for name in a.keys() | b.keys():
            yield from unequal(a.get(name), b.get(name), f"{key}.{name}")
    elif isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        for number, pair in enumerate(zip(a, b, strict=True)):
            yield from unequal(*pair, f"{key}[{number}]")
    elif isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if not torch.equal(a, b):
            yield key
    elif a != b:
        yield f"{key}: {a} and {b}"


def run_cases(folder: Path, cases: list[str], hardware: str) -> None:
    """Train every case and, once for each model, the whole run."""
    for case in cases:
        model, stop, workers = case.split("/")
        if not (folder / model / "whole").is_dir():
            train_whole(folder / model / "whole", model, hardware)
        train_in_parts(folder / model / f"{stop}_{workers}", model, hardware, stop, int(workers))


if __name__ == "__main__":
    run_cases(Path(sys.argv[1]), sys.argv[2:], "ddp_cpu")
