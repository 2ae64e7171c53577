"""Sends what the phases recorded to the loggers, off the hot path."""

import time

import torch
from lightning.pytorch import Callback, Trainer

from gan_lab.gans.base import AdversarialModule


class TrainLog(Callback):
    """Every so many batches, logs the mean of every recorded term, the rates and the throughput, over images seen.

    The mean is over the batches since the last time and over the processes. The newest values stay in the module's `latest`.

    Args:
        every_batches: Batches from one record to the next.
    """

    def __init__(self, every_batches: int = 50) -> None:
        self.every_batches = every_batches
        self._since = (0.0, 0)

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        module.records.clear()
        self._since = (time.perf_counter(), module.images_seen)

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:  # type: ignore[override]
        if module.batches_seen % self.every_batches == 0:
            self._log(trainer, module)

    def on_train_end(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        if module.records:
            self._log(trainer, module)

    def _log(self, trainer: Trainer, module: AdversarialModule) -> None:
        with module.profile("logging"):
            metrics = self._means(trainer, module) | self._rates(trainer, module) | self._progress(module)
            module.latest = metrics
            for logger in trainer.loggers:
                logger.log_metrics(metrics, step=module.images_seen)

    def _means(self, trainer: Trainer, module: AdversarialModule) -> dict[str, float]:
        records = list(module.records)
        module.records.clear()
        keys = sorted({key for record in records for key in record})
        # One tensor for all keys: one transfer from the device and one reduction over processes.
        notes = {key: [value for record in records for value in record.get(key, ())] for key in keys}
        means = torch.stack([torch.stack(notes[key]).float().mean() for key in keys])
        means = trainer.strategy.reduce(means, reduce_op="mean")
        return {f"train/{key}": value for key, value in zip(keys, means.tolist(), strict=True)}

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
