"""Warnings of a run, kept where somebody sees them who was not there."""

import json
import logging
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger, WandbLogger

from gan_lab.gans.base import AdversarialModule

OURS = logging.getLogger("gan_lab")


class Alarms(Callback):
    """Keeps every warning that any part of gan_lab logs while a run trains, and the error that ends it.

    Each is a line of `alarms.jsonl` in the run folder: `time` (seconds since 1970), `images_seen`, `level` and `text`. In W&B it is
    an alert, and `alarms/count` in all loggers counts them. No part has to know: what it logs as a warning is an alarm. A
    file or a server that fails changes nothing in the run.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: str) -> None:
        self.file = Path(folder) / "alarms.jsonl"
        self._untold: list[dict[str, Any]] = []
        self._count = 0
        self._listener: _Listener | None = None

    def on_fit_start(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        if trainer.is_global_zero:
            self._count = len(self.file.read_text().splitlines()) if self.file.is_file() else 0  # of a resumed run
            self._listener = _Listener(self, module)
            OURS.addHandler(self._listener)

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:  # type: ignore[override]
        if self._untold:
            self._tell(trainer, module)

    def on_exception(self, trainer: Trainer, module: AdversarialModule, exception: BaseException) -> None:  # type: ignore[override]
        if self._listener is not None:
            self.note("ERROR", f"{type(exception).__name__}: {exception}".rstrip(": "), module.images_seen)
            self.on_fit_end(trainer, module)

    def on_fit_end(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        if self._untold:
            self._tell(trainer, module)
        if self._listener is not None:
            OURS.removeHandler(self._listener)
            self._listener = None

    def note(self, level: str, text: str, images_seen: int) -> None:
        """Write an alarm down at once, and have it told to the loggers at the end of the batch."""
        alarm = {"time": round(time.time(), 1), "images_seen": images_seen, "level": level, "text": text}
        self._untold.append(alarm)
        try:
            with self.file.open("a") as lines:
                lines.write(json.dumps(alarm) + "\n")
        except OSError:  # such as a full disk, which is perhaps what the alarm is about
            pass

    def _tell(self, trainer: Trainer, module: AdversarialModule) -> None:
        alarms, self._untold = self._untold, []
        self._count += len(alarms)
        line = {"alarms/count": float(self._count), "progress/images_seen": module.images_seen}
        for logger in trainer.loggers:
            try:
                logger.log_metrics(line, step=module.images_seen)
                for alarm in alarms:
                    _alert(logger, alarm)
            except Exception as error:  # whatever a logger raises, the training matters more
                OURS.info("%s could not be told of an alarm: %s", type(logger).__name__, error)


class _Listener(logging.Handler):
    """Hands warnings and errors on to the callback."""

    def __init__(self, alarms: Alarms, module: AdversarialModule) -> None:
        super().__init__(logging.WARNING)
        self._alarms = alarms
        self._module = module

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._alarms.note(record.levelname, record.getMessage(), self._module.images_seen)
        except Exception:
            self.handleError(record)


def _alert(logger: Logger, alarm: dict[str, Any]) -> None:
    if isinstance(logger, WandbLogger):
        level = "ERROR" if alarm["level"] in ("ERROR", "CRITICAL") else "WARN"
        logger.experiment.alert(title=f"{level.title()} of gan_lab", text=alarm["text"], level=level)
