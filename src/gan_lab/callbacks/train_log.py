"""Sends what the phases recorded to the loggers, off the hot path."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from gan_lab.callbacks.profiling import TimeShares
from gan_lab.gans.base import AdversarialModule
from gan_lab.processes import rows_of_processes


class TrainLog(Callback):
    """Every so many batches, logs the mean of every recorded term, the rates, the throughput and where the time went.

    All of it over images seen. The mean is over the batches since the last time and over the processes; `time/<part>` is the part's
    share of the time since the last record, in the first process. The newest values stay in the module's `latest`.
    What is not logged yet is part of a checkpoint, so that a run which goes on logs what it would have logged.

    Args:
        every_batches: Batches from one record to the next.
    """

    def __init__(self, every_batches: int = 50) -> None:
        self.every_batches = every_batches
        self._since = (0.0, 0)
        self._kept: dict[str, Tensor] = {}  # out of the checkpoint from which the run goes on

    def on_save_checkpoint(self, trainer: Trainer, module: AdversarialModule, checkpoint: dict[str, Any]) -> None:  # type: ignore[override]
        # A row for each process, so that means over processes are rounded as they would have been.
        rows = {key: rows_of_processes(torch.stack(values)) for key, values in self._notes(module).items()}
        checkpoint["train_log"] = {key: values.cpu() for key, values in rows.items()}

    def on_load_checkpoint(self, trainer: Trainer, module: AdversarialModule, checkpoint: dict[str, Any]) -> None:  # type: ignore[override]
        self._kept = checkpoint.get("train_log", {})

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        module.records.clear()
        if self._kept:
            module.records.append(
                {key: list(self._own(rows, trainer).to(module.device)) for key, rows in self._kept.items()}
            )
            self._kept = {}
        self._since = (time.perf_counter(), module.images_seen)
        if isinstance(shares := _profiler(trainer), TimeShares):
            shares.begin(module.device)

    @staticmethod
    def _own(rows: Tensor, trainer: Trainer) -> Tensor:
        """What this process noted, or the mean where there were more or fewer of them."""
        return rows[trainer.global_rank] if len(rows) == trainer.world_size else rows.mean(dim=0)

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:  # type: ignore[override]
        if module.batches_seen % self.every_batches == 0:
            self._log(trainer, module)

    def on_train_end(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        if module.records and not module.interrupted:
            self._log(trainer, module)

    def _log(self, trainer: Trainer, module: AdversarialModule) -> None:
        with module.profile("logging"):
            metrics = self._means(trainer, module) | self._rates(trainer, module) | self._progress(module)
            metrics |= self._times(trainer)
            module.latest = metrics
            for logger in trainer.loggers:
                logger.log_metrics(metrics, step=module.images_seen)

    def _means(self, trainer: Trainer, module: AdversarialModule) -> dict[str, float]:
        notes = self._notes(module)
        module.records.clear()
        # One tensor for all keys: one transfer from the device and one reduction over processes.
        means = torch.stack([torch.stack(values).float().mean() for values in notes.values()])
        means = trainer.strategy.reduce(means, reduce_op="mean")
        return {f"train/{key}": value for key, value in zip(notes, means.tolist(), strict=True)}

    def _notes(self, module: AdversarialModule) -> dict[str, list[Tensor]]:
        """Every scalar that is not logged yet, by key."""
        keys = sorted({key for record in module.records for key in record})
        return {key: [value for record in module.records for value in record.get(key, ())] for key in keys}

    def _rates(self, trainer: Trainer, module: AdversarialModule) -> dict[str, float]:
        names = module.runner.players
        return {
            f"train/lr/{name}": optimizer.param_groups[0]["lr"]
            for name, optimizer in zip(names, trainer.optimizers, strict=True)
        }

    def _progress(self, module: AdversarialModule) -> dict[str, float]:
        now, seen = time.perf_counter(), module.images_seen
        then, before = self._since
        self._since = (now, seen)
        progress = {"images_seen": seen, "images_per_second": (seen - before) / (now - then)} | module.progress()
        return {f"progress/{key}": value for key, value in progress.items()}

    def _times(self, trainer: Trainer) -> dict[str, float]:
        shares = _profiler(trainer)
        return (
            {f"time/{part}": share for part, share in shares.shares().items()} if isinstance(shares, TimeShares) else {}
        )


def _profiler(trainer: Trainer) -> object:
    return trainer.profiler  # type: ignore[attr-defined]
