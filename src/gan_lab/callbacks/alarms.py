"""Alarms: told on the screen, to W&B, and kept in the run folder."""

import csv
import logging
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import WandbLogger

log = logging.getLogger(__name__)

FILE = "alarms.csv"
"""In the run folder: images seen, kind and sentence of every alarm."""


def raise_alarm(trainer: Trainer, folder: Path, kind: str, images_seen: int, sentence: str) -> None:
    """Warn, alert in W&B, and add a line to `alarms.csv`. To be called by the first process alone; never raises for W&B.

    Args:
        trainer: Whose loggers are told.
        folder: The run folder.
        kind: A word, such as `collapse`.
        images_seen: When.
        sentence: What a person is to know.
    """
    log.warning("%s", sentence)
    _keep(folder / FILE, kind, images_seen, sentence)
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            try:
                logger.experiment.alert(title=f"gan_lab: {kind}", text=sentence)
            except Exception as error:  # a server that is gone stops no run
                log.warning("W&B was not told: %s", error)


def _keep(file: Path, kind: str, images_seen: int, sentence: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    new = not file.exists()
    with file.open("a", newline="") as lines:
        writer = csv.writer(lines)
        if new:
            writer.writerow(["images_seen", "kind", "sentence"])
        writer.writerow([images_seen, kind, sentence])
