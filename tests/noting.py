"""A callback by which every process of a run tells what it trains with."""

import json
import os
import signal
from pathlib import Path

from lightning.pytorch import Callback


class Note(Callback):
    """Writes `rank_<rank>.json` when training begins.

    Args:
        folder: The run folder, as this process knows it.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_train_start(self, trainer, module) -> None:
        rates = [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]
        note = {"rates": rates, "betas": trainer.optimizers[0].param_groups[0]["betas"], "world": trainer.world_size}
        (self.folder / f"rank_{trainer.global_rank}.json").write_text(json.dumps(note))


class Killer(Callback):
    """Kills the second process of the run with seed 0.

    Args:
        seed: Of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_end(self, trainer, module, *_) -> None:
        if self.seed == 0 and trainer.global_rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)


class SignalAtStart(Callback):
    """Sends a signal to one run of a sweep when its training begins, or the process that launched it.

    Args:
        seed: A number of the run.
        wanted: The number of the run that is to have the signal.
        number: Of the signal.
        parent: Tell the process that launched this one.
    """

    def __init__(self, seed: int, wanted: int, number: int, parent: bool = False) -> None:
        self.told = seed == wanted
        self.number = number
        self.parent = parent

    def on_train_batch_end(self, trainer, module, batch, outputs, batch_idx) -> None:
        if self.told and batch_idx == 1:
            os.kill(os.getppid() if self.parent else os.getpid(), self.number)
