"""Log of the warnings and errors of a run, in a file of the run folder and in the loggers."""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger, WandbLogger

from gan_lab.callbacks.base import Callback
from gan_lab.files import open_to_append, read_text
from gan_lab.gans.base import AdversarialModule

ROOT_LOGGER = logging.getLogger("gan_lab")


_early: ContextVar["_EarlyWarnings | None"] = ContextVar("early", default=None)


class _EarlyWarnings(logging.Handler):
    """Keeps warnings and errors."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def early_warnings_kept() -> Iterator[None]:
    """Keep the warnings of the block, such as those about the data, for the `WarningLog` of the run that follows."""
    handler = _EarlyWarnings()
    _early.set(handler)
    ROOT_LOGGER.addHandler(handler)
    try:
        yield
    finally:
        ROOT_LOGGER.removeHandler(handler)


class WarningLog(Callback):
    """Record every warning that gan_lab logs while it reads the data and trains, and the error that ends the run.

    Each is a line of `warnings.jsonl` in the run folder: `time` (seconds since 1970), `images_seen`, `level` and
    `text`. It is an alert in W&B, and `warnings/count` in all loggers counts the lines. The callback listens to the
    Python logger `gan_lab`, so other modules need no code for it. A failing file or server never affects training. A
    second Ctrl-C is not an error.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: str) -> None:
        self.file = Path(folder) / "warnings.jsonl"
        self._pending: list[dict[str, Any]] = []
        self._count = 0
        self._handler: _Handler | None = None

    def on_fit_start(self, trainer: Trainer, module: AdversarialModule) -> None:
        if trainer.is_global_zero:
            with suppress(OSError):  # of a resumed run
                self._count = len(read_text(self.file).splitlines())
            self._handler = _Handler(self, module)
            if (early := _early.get()) is not None:
                for record in early.records:
                    self._handler.handle(record)
                _early.set(None)
            ROOT_LOGGER.addHandler(self._handler)

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:
        if self._pending:
            self._log_pending(trainer, module)

    def on_exception(self, trainer: Trainer, module: AdversarialModule, exception: BaseException) -> None:
        if self._handler is not None:
            if not isinstance(exception, KeyboardInterrupt):  # the user's wish, and no error of the run
                self.record("ERROR", f"{type(exception).__name__}: {exception}".rstrip(": "), module.images_seen)
            self.on_fit_end(trainer, module)

    def on_fit_end(self, trainer: Trainer, module: AdversarialModule) -> None:
        if self._pending:
            self._log_pending(trainer, module)
        if self._handler is not None:
            ROOT_LOGGER.removeHandler(self._handler)
            self._handler = None

    def record(self, level: str, text: str, images_seen: int) -> None:
        """Write a warning to the file immediately, and queue it for the loggers until the end of the batch."""
        warning = {"time": round(time.time(), 1), "images_seen": images_seen, "level": level, "text": text}
        self._pending.append(warning)
        try:
            with open_to_append(self.file) as lines:
                lines.write(json.dumps(warning) + "\n")
        except OSError:  # for example a full disk, which may be what the warning is about
            pass

    def _log_pending(self, trainer: Trainer, module: AdversarialModule) -> None:
        warnings, self._pending = self._pending, []
        self._count += len(warnings)
        row = {"warnings/count": float(self._count), "progress/images_seen": module.images_seen}
        for logger in trainer.loggers:
            try:
                logger.log_metrics(row, step=module.images_seen)
                for warning in warnings:
                    _alert(logger, warning)
            except Exception as error:  # training continues whatever a logger raises
                ROOT_LOGGER.info("%s could not log a warning: %s", type(logger).__name__, error)


class _Handler(logging.Handler):
    """Forward warnings and errors to the callback."""

    def __init__(self, callback: WarningLog, module: AdversarialModule) -> None:
        super().__init__(logging.WARNING)
        self._callback = callback
        self._module = module

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._callback.record(record.levelname, record.getMessage(), self._module.images_seen)
        except Exception:
            self.handleError(record)


def _alert(logger: Logger, warning: dict[str, Any]) -> None:
    if isinstance(logger, WandbLogger):
        level = "ERROR" if warning["level"] in ("ERROR", "CRITICAL") else "WARN"
        logger.experiment.alert(title=f"{level.title()} of gan_lab", text=warning["text"], level=level)
