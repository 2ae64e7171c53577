"""Checkpoints: plain data only, written atomically."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer

from gan_lab.callbacks.base import Callback
from gan_lab.callbacks.best import ASIDE, set_aside_later_best
from gan_lab.callbacks.every import Every
from gan_lab.errors import CheckpointError, ConfigError
from gan_lab.files import atomic_write, copy_file, link_file, relative_path, remove_temporary_files
from gan_lab.gans.base import AdversarialModule
from gan_lab.loggers.csv import MetricsFile
from gan_lab.loggers.wandb_run import ResumedRun
from gan_lab.processes import max_over_processes
from gan_lab.runs.checkpoints import Checkpoint, numbered_checkpoints, read_archive
from gan_lab.runs.plain_yaml import parse_yaml

log = logging.getLogger(__name__)


class Checkpoints(Callback):
    """Write `images_<images seen>.ckpt` and `last.ckpt` at intervals of images and of time, and at the end.

    A checkpoint contains the resolved config as YAML text under `gan_lab.config`, so that it can be loaded on its own.
    If a run is resumed from a checkpoint that is not its newest, `.aside` is appended to the names of the later ones,
    also of `best.ckpt`.

    Args:
        folder: Folder of the checkpoints.
        config_file: The run's resolved config, which is copied into every checkpoint.
        budget_images: Length of the run in real images.
        every_images: Images between checkpoints; None for a fifth of the budget.
        every_minutes: Additional checkpoints at this interval of wall-clock time, in minutes; None for none.
        keep: Number of the newest numbered checkpoints to keep; at least 1.
        best: Log key of `train_log`; the checkpoint with its best value is kept as `best.ckpt`. None for none.
        best_mode: `min` or `max`: which value is the best.
        copy_to: A second folder, preferably on another disk: the newest checkpoint is copied to `last.ckpt` in its
            folder `copy_folder`. If it cannot be written, the run logs a warning and continues.

    Raises:
        ConfigError: A value is not allowed; at the start of training: the folder contains checkpoints of another run.
    """

    def __init__(
        self,
        folder: str,
        config_file: str,
        budget_images: int,
        every_images: int | None = None,
        every_minutes: float | None = None,
        keep: int = 2,
        best: str | None = None,
        best_mode: str = "min",
        copy_to: str | None = None,
    ) -> None:
        _check(every_images, every_minutes, keep, best, best_mode)
        self.folder = Path(folder)
        self.config_file = Path(config_file)
        self.keep = keep
        self.copy = None if copy_to is None else copy_folder(copy_to, self.folder.parent)
        self._every = Every(every_images or budget_images // 5)
        self._every_seconds = None if every_minutes is None else 60 * every_minutes
        self._saved_time = time.monotonic()
        self._saved_images = -1
        self._best = None if best is None else _BestValue(best, best_mode)

    def state_dict(self) -> dict[str, Any]:
        return {} if self._best is None else {self._best.key: self._best.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._best is not None and (self.folder / "best.ckpt").is_file():
            self._best.value = state.get(self._best.key)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        rows = next((logger.rows_on_disk() for logger in trainer.loggers if isinstance(logger, MetricsFile)), None)
        hardware = {"device": trainer.strategy.root_device.type, "processes": trainer.world_size}
        config = self.config_file.read_text(encoding="utf-8")
        checkpoint["gan_lab"] = {"config": config, "rows": rows, "hardware": hardware}

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:
        self._every.start(module.images_seen)
        self._saved_time = time.monotonic()
        _refuse_checkpoints_of_another_run(self.folder, self.config_file.parent)
        if set_aside_later_best(trainer, self.folder / "best.ckpt", module.images_seen) and self._best is not None:
            self._best.value = None
        if trainer.is_global_zero:
            self._set_aside_later(module.images_seen)

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:
        if self._best is not None and self._best.is_improved(module):
            with self._explained_errors(module):
                trainer.save_checkpoint(self.folder / "best.ckpt")
        passed = self._every.due(module.images_seen)
        # The last batch is saved here and not in on_train_end, where Lightning already counts the epoch as complete.
        if passed or trainer.should_stop or self._is_time_due():
            self._save(trainer, module)

    def on_train_end(self, trainer: Trainer, module: AdversarialModule) -> None:
        if module.images_seen != self._saved_images and not module.interrupted:  # not ended by the budget
            self._save(trainer, module)
        if self._best is not None and self._best.value is None and not module.interrupted and trainer.is_global_zero:
            log.warning(
                "There is no best.ckpt: before the end no row of the log had a number for "
                "callbacks.checkpoints.best=%s; callbacks.train_log.every_batches is the number of batches between "
                "rows.", self._best.key,
            )  # fmt: skip

    def _is_time_due(self) -> bool:
        if self._every_seconds is None:
            return False
        return bool(max_over_processes(time.monotonic() - self._saved_time >= self._every_seconds))

    def _set_aside_later(self, images_seen: int) -> None:
        """Rename checkpoints later than `images_seen`, and remove temporary files of a killed run."""
        for file in numbered_checkpoints(self.folder):
            if _images_seen(file) > images_seen:
                file.replace(file.with_name(file.name + ASIDE))
        remove_temporary_files(self.folder)

    def _save(self, trainer: Trainer, module: AdversarialModule) -> None:
        with module.profile("checkpoint"), self._explained_errors(module):
            numbered = self.folder / f"images_{module.images_seen:010d}.ckpt"
            trainer.save_checkpoint(numbered)
            if trainer.is_global_zero:
                link_file(numbered, self.folder / "last.ckpt")
                for old in numbered_checkpoints(self.folder)[: -self.keep]:
                    old.unlink()
                self._copy(numbered)
                for logger in trainer.loggers:
                    if isinstance(logger, ResumedRun):
                        logger.log_checkpoint(numbered, module.images_seen)
        self._saved_images, self._saved_time = module.images_seen, time.monotonic()

    def _copy(self, file: Path) -> None:
        if self.copy is not None:
            try:
                copy_file(file, self.copy / "last.ckpt")
            except OSError as error:
                reason = error.strerror or type(error).__name__
                log.warning(
                    "%s cannot be written (%s): training continues without a copy.", self.copy / "last.ckpt", reason
                )

    @contextmanager
    def _explained_errors(self, module: AdversarialModule) -> Iterator[None]:
        """Convert an `OSError` into a `CheckpointError` that names the last valid checkpoint."""
        try:
            yield
        except OSError as error:
            file = error.filename2 or error.filename or self.folder  # of a rename, the second
            raise CheckpointError(
                f"{file} cannot be written: {error.strerror}; the run stops after {module.images_seen:,} images. "
                f"{self._advice()}"
            ) from error

    def _advice(self) -> str:
        """Which checkpoint is there after an error."""
        last, numbered = self.folder / "last.ckpt", numbered_checkpoints(self.folder)
        if last.is_file():
            folder = relative_path(self.folder.parent)
            return f"{last} is valid; the same command with run.dir={folder} resumes from it."
        return f"The newest other checkpoint is {numbered[-1]}." if numbered else "There is no earlier checkpoint."


class _BestValue:
    """Best value so far of a log key of `TrainLog`."""

    def __init__(self, key: str, mode: str) -> None:
        self.key = key
        self.sign = {"min": 1.0, "max": -1.0}[mode]
        self.value: float | None = None

    def is_improved(self, module: AdversarialModule) -> bool:
        """Whether a new value was logged in this batch and is the best so far.

        Raises:
            ConfigError: The key is not logged.
        """
        logged = module.latest
        if not logged or logged["progress/images_seen"] != module.images_seen:
            return False
        if self.key not in logged:
            allowed = ", ".join(key for key in logged if key.startswith("train/"))
            raise ConfigError(f"callbacks.checkpoints.best={self.key} is not logged: choose from {allowed}.")
        newest = self.sign * logged[self.key]
        if not newest < (float("inf") if self.value is None else self.value):  # NaN is never the best
            return False
        self.value = newest
        return True


def copy_folder(copy_to: str, run: Path) -> Path:
    """Folder with the copy of the newest checkpoint of a run: `<copy_to>/<parent of the run folder>/<run folder>`.

    The runs of all sweeps have the names 0, 1, 2, ...; their parents are different.
    """
    folder = run.resolve()
    return Path(copy_to) / folder.parent.name / folder.name


def refuse_copy_of_another_run(copy: Path, run: Path) -> None:
    """Refuse to use the folder of a copy that belongs to another run, which would be read and replaced.

    Args:
        copy: See `copy_folder`.
        run: The run folder.

    Raises:
        ConfigError: It contains a checkpoint of another run.
    """
    file = copy / "last.ckpt"
    writer = _run_folder_of(file)
    if writer not in (None, run.resolve()):
        raise ConfigError(
            f"callbacks.checkpoints.copy_to={copy.parent.parent} contains {file}, a copy of another run, {writer}, "
            f"which would be replaced: choose another folder; resume={file} resumes from it."
        )


def _refuse_checkpoints_of_another_run(folder: Path, run: Path) -> None:
    """Refuse a folder outside the run folder that contains checkpoints of other runs, since the callback removes files.

    Args:
        folder: Folder of the run's checkpoints; may be a link.
        run: The run folder.

    Raises:
        ConfigError: The folder contains a checkpoint of another run, or of an unknown run.
    """
    if folder.resolve().parent == run.resolve():
        return
    for file in sorted(folder.glob("*.ckpt")):
        if _run_folder_of(file) != run.resolve():
            raise ConfigError(
                f"callbacks.checkpoints.folder={folder} contains {file.name} of another run, which would be "
                "replaced or removed: choose an empty folder."
            )


def _run_folder_of(file: Path) -> Path | None:
    """Folder of the run that wrote a checkpoint; None if the file does not contain it."""
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        return Path(parse_yaml(checkpoint["gan_lab"]["config"])["run"]["dir"]).resolve()
    except Exception:  # what the reader of a damaged file raises is not known
        return None


def _images_seen(file: Path) -> int:
    return int(file.stem.rpartition("_")[2])


def _check(every_images: int | None, every_minutes: float | None, keep: int, best: str | None, best_mode: str) -> None:
    key = "callbacks.checkpoints"
    for name, value in {"every_images": every_images, "keep": keep}.items():
        if value is not None and value < 1:
            raise ConfigError(f"{key}.{name}={value} is not allowed: it must be at least 1.")
    if every_minutes is not None and every_minutes <= 0:
        raise ConfigError(f"{key}.every_minutes={every_minutes} is not allowed: it must be greater than 0, or null.")
    if best_mode not in ("min", "max"):
        raise ConfigError(f"{key}.best_mode={best_mode} is not allowed: choose min or max.")
    if best is not None and best.startswith("eval/"):
        raise ConfigError(
            f"{key}.best={best} is not allowed: it must be a key of train_log; use evaluation.best for metrics."
        )


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoint reader and writer: files appear complete or not at all, and are verified when read.

    Attributes:
        preloaded: A checkpoint that was already read, returned once when its file is loaded.
    """

    preloaded: Checkpoint | None = None

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Contents of a checkpoint, verified, on the CPU."""
        preloaded, self.preloaded = self.preloaded, None
        if preloaded is not None and preloaded.file == Path(path):
            return preloaded.take()
        return read_archive(Path(path))

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        target = Path(path)
        try:
            with atomic_write(target) as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:
            raise _os_error(error, target) from error


def _os_error(error: BaseException, target: Path) -> BaseException:
    """The `OSError` behind an error of PyTorch's writer; the error itself if there is none."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    return error if cause is None else OSError(cause.errno, cause.strerror, str(target))
