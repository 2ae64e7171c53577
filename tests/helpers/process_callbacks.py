"""Callbacks that record the settings of a process, kill it, or send it a signal."""

import json
import os
import signal
from pathlib import Path

from lightning.pytorch import Callback


class RecordSettings(Callback):
    """Writes learning rates, betas and the number of processes to `rank_<rank>.json` when training begins.

    Args:
        folder: The run folder that this process uses.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_train_start(self, trainer, module) -> None:
        lr = [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]
        note = {"lr": lr, "betas": trainer.optimizers[0].param_groups[0]["betas"], "world": trainer.world_size}
        (self.folder / f"rank_{trainer.global_rank}.json").write_text(json.dumps(note))


class KillSecondProcess(Callback):
    """Kills the second process of the run with seed 0.

    Args:
        seed: Seed of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_end(self, trainer, module, *_) -> None:
        if self.seed == 0 and trainer.global_rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)


class SignalAfterTwoBatches(Callback):
    """Sends a signal to one run of a sweep, or to its parent process, after its second batch.

    Args:
        seed: Number of the run in the sweep.
        wanted: Number of the run that gets the signal.
        number: Number of the signal.
        parent: Send it to the parent process.
    """

    def __init__(self, seed: int, wanted: int, number: int, parent: bool = False) -> None:
        self.active = seed == wanted
        self.number = number
        self.parent = parent

    def on_train_batch_end(self, trainer, module, batch, outputs, batch_idx) -> None:
        if self.active and batch_idx == 1:
            os.kill(os.getppid() if self.parent else os.getpid(), self.number)
