"""Log of loss terms, learning rates and throughput."""

import time
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from gan_lab.callbacks.base import Callback
from gan_lab.callbacks.profiling import TimeFractions
from gan_lab.gans.base import AdversarialModule
from gan_lab.processes import gather_from_processes
from gan_lab.ranges import require_at_least

TIMES = ("progress/images_per_second", "time/")
"""Prefixes of values that differ between runs with the same results."""


class TrainLog(Callback):
    """Log the mean of every recorded term, learning rates, throughput and `time/<part>` at intervals of batches.

    The horizontal axis is the real images seen. Means are over the batches since the last row and over all processes;
    `time/<part>` is the fraction of the time since the last row, in the first process. The newest row is kept in the
    module's `latest`, which other callbacks read. It is saved in checkpoints, without times, and so are values that are
    not logged yet: a resumed run logs the same rows.

    Args:
        every_batches: Batches between rows.
    """

    def __init__(self, every_batches: int = 50) -> None:
        require_at_least("callbacks.train_log.every_batches", every_batches, 1)
        self.every_batches = every_batches
        self._last_row = (0.0, 0)  # time, images seen
        self._restored: dict[str, Tensor] = {}  # values that a checkpoint had not logged yet

    def on_save_checkpoint(self, trainer: Any, module: AdversarialModule, checkpoint: dict[str, Any]) -> None:
        # Values of each process, so that means over processes are rounded in the same way after a resume.
        rows = {key: gather_from_processes(torch.stack(values)) for key, values in self._pending(module).items()}
        latest = {key: value for key, value in module.latest.items() if not key.startswith(TIMES)}
        checkpoint["train_log"] = {"pending": {key: values.cpu() for key, values in rows.items()}, "latest": latest}

    def on_load_checkpoint(self, trainer: Any, module: AdversarialModule, checkpoint: dict[str, Any]) -> None:
        state = checkpoint.get("train_log", {"pending": {}, "latest": {}})
        module.latest = {str(key): float(value) for key, value in state["latest"].items()}
        self._restored = {str(key): _rows(values) for key, values in state["pending"].items()}

    def on_train_start(self, trainer: Any, module: AdversarialModule) -> None:
        module.records.clear()
        if self._restored:
            module.records.append(
                {
                    key: list(self._values_of_process(rows, trainer).to(module.device))
                    for key, rows in self._restored.items()
                }
            )
            self._restored = {}
        self._last_row = (time.perf_counter(), module.images_seen)
        if isinstance(profiler := _profiler(trainer), TimeFractions):
            profiler.begin(module.device)

    @staticmethod
    def _values_of_process(rows: Tensor, trainer: Trainer) -> Tensor:
        """Values of this process; the mean over processes if their number has changed."""
        return rows[trainer.global_rank] if len(rows) == trainer.world_size else rows.mean(dim=0)

    def on_train_batch_end(self, trainer: Any, module: AdversarialModule, *_: object) -> None:
        if module.batches_seen % self.every_batches == 0:
            self._log(trainer, module)

    def on_train_end(self, trainer: Any, module: AdversarialModule) -> None:
        if module.records and not module.interrupted:
            self._log(trainer, module)

    def _log(self, trainer: Any, module: AdversarialModule) -> None:
        with module.profile("logging"):
            metrics = self._means(trainer, module) | self._learning_rates(trainer, module) | self._progress(module)
            metrics |= self._times(trainer)
            module.latest = metrics
            for logger in trainer.loggers:
                logger.log_metrics(metrics, step=module.images_seen)

    def _means(self, trainer: Any, module: AdversarialModule) -> dict[str, float]:
        pending = self._pending(module)
        module.records.clear()
        # One tensor for all keys: a single transfer from the device and a single reduction over processes.
        means = torch.stack([torch.stack(values).float().mean() for values in pending.values()])
        means = trainer.strategy.reduce(means, reduce_op="mean")
        return {f"train/{key}": value for key, value in zip(pending, means.tolist(), strict=True)}

    def _pending(self, module: AdversarialModule) -> dict[str, list[Tensor]]:
        """Values that are not logged yet, by key."""
        keys = sorted({key for record in module.records for key in record})
        return {key: [value for record in module.records for value in record.get(key, ())] for key in keys}

    def _learning_rates(self, trainer: Any, module: AdversarialModule) -> dict[str, float]:
        names = module.runner.players
        return {
            f"train/lr/{name}": optimizer.param_groups[0]["lr"]
            for name, optimizer in zip(names, trainer.optimizers, strict=True)
        }

    def _progress(self, module: AdversarialModule) -> dict[str, float]:
        now, seen = time.perf_counter(), module.images_seen
        last_time, last_seen = self._last_row
        self._last_row = (now, seen)
        progress = {
            "images_seen": seen,
            "images_per_second": (seen - last_seen) / (now - last_time),
        } | module.progress()
        return {f"progress/{key}": value for key, value in progress.items()}

    def _times(self, trainer: Trainer) -> dict[str, float]:
        profiler = _profiler(trainer)
        if not isinstance(profiler, TimeFractions):
            return {}
        return {f"time/{part}": fraction for part, fraction in profiler.fractions().items()}


def _rows(values: Tensor) -> Tensor:
    """Values of each process from a checkpoint, (processes, n)."""
    if values.dim() != 2 or not values.numel():
        raise ValueError(f"the log has values of shape {tuple(values.shape)}")
    return values


def _profiler(trainer: Any) -> object:
    return trainer.profiler
