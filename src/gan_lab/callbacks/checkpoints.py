"""Checkpoints that hold plain data and are never half-written."""

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer

from gan_lab.callbacks.every import Every
from gan_lab.errors import CheckpointError, ConfigError
from gan_lab.gans.base import AdversarialModule
from gan_lab.processes import largest_of_processes

log = logging.getLogger(__name__)

ASIDE = ".aside"
"""Added to the names of checkpoints that a run had left behind the one from which it goes on."""


class Checkpoints(Callback):
    """Writes `images_<images seen>.ckpt` every so many images and minutes, and `last.ckpt` at each of those times and at the end.

    A checkpoint also carries the resolved config as YAML text under `gan_lab.config`, so that it can be rebuilt alone.
    Where a run goes on from an earlier checkpoint than its newest, the later ones get `.aside` after their names.

    Args:
        folder: Where the checkpoints go.
        config_file: The run's resolved config, copied into every checkpoint.
        budget_images: Length of the run in real images.
        every_images: Images from one checkpoint to the next; by default a fifth of the budget.
        every_minutes: Minutes of wall-clock time from one checkpoint to the next, beside those; None for no such ones.
        keep: Numbered checkpoints that are kept, the newest; at least 1.
        best: Log key of `train_log` of which the checkpoint with the best value is kept as `best.ckpt`; None to keep none.
        best_mode: `min` or `max`: which value of it is the best.
        copy_to: A second folder, best on another disk: `<copy_to>/<name of the run folder>/last.ckpt` is a copy of the newest.
            Where it cannot be written the run warns and goes on.

    Raises:
        ConfigError: A number or word is not allowed.
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
        self._seconds = None if every_minutes is None else 60 * every_minutes
        self._saved_when = time.monotonic()
        self._saved_at = -1
        self._best = None if best is None else _BestLogged(best, best_mode)

    def state_dict(self) -> dict[str, Any]:
        return {} if self._best is None else {self._best.key: self._best.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._best is not None and (self.folder / "best.ckpt").is_file():
            self._best.value = state.get(self._best.key)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["gan_lab"] = {"config": self.config_file.read_text()}

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        self._every.start(module.images_seen)
        self._saved_when = time.monotonic()
        if trainer.is_global_zero:
            self._clear_the_way(module.images_seen)

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:  # type: ignore[override]
        if self._best is not None and self._best.beaten(module):
            with self._told(module):
                trainer.save_checkpoint(self.folder / "best.ckpt")
        passed = self._every.due(module.images_seen)
        # The last batch is saved here and not when training has ended, for by then Lightning counts the epoch as whole.
        if passed or trainer.should_stop or self._minutes_have_passed():
            self._save(trainer, module)

    def on_train_end(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        if module.images_seen != self._saved_at and not module.interrupted:  # ended by something else than the budget
            self._save(trainer, module)

    def _minutes_have_passed(self) -> bool:
        if self._seconds is None:
            return False
        return bool(largest_of_processes(time.monotonic() - self._saved_when >= self._seconds))

    def _clear_the_way(self, images_seen: int) -> None:
        """Put aside what is damaged or later than where the run goes on, and remove what a killed run was writing."""
        for file in self.folder.glob("images_*.ckpt"):
            if _number(file) > images_seen:
                file.replace(file.with_name(file.name + ASIDE))
        for draft in self.folder.glob(".*.ckpt.*"):
            draft.unlink()

    def _save(self, trainer: Trainer, module: AdversarialModule) -> None:
        with module.profile("checkpoint"), self._told(module):
            numbered = self.folder / f"images_{module.images_seen:010d}.ckpt"
            trainer.save_checkpoint(numbered)
            if trainer.is_global_zero:
                _same_file(numbered, self.folder / "last.ckpt")
                for old in sorted(self.folder.glob("images_*.ckpt"))[: -self.keep]:
                    old.unlink()
                self._copy(numbered)
        self._saved_at, self._saved_when = module.images_seen, time.monotonic()

    def _copy(self, file: Path) -> None:
        if self.copy is not None:
            try:
                self.copy.mkdir(parents=True, exist_ok=True)
                with _complete(self.copy / "last.ckpt") as temporary:
                    shutil.copyfile(file, temporary)
            except OSError as error:
                reason = error.strerror or type(error).__name__
                log.warning(
                    "%s cannot be written (%s): the run goes on without a copy.", self.copy / "last.ckpt", reason
                )

    @contextmanager
    def _told(self, module: AdversarialModule) -> Iterator[None]:
        """Turn the disk's word into a sentence that says what is left."""
        try:
            yield
        except OSError as error:
            last = self.folder / "last.ckpt"
            left = (
                f"{last} is whole, and the same command goes on from it"
                if last.is_file()
                else "there is none before it"
            )
            raise CheckpointError(
                f"{error.filename or self.folder} cannot be written: {error.strerror}; the run stops after "
                f"{module.images_seen:,} images. {left[0].upper()}{left[1:]}."
            ) from error


class _BestLogged:
    """The best value so far of a key that `TrainLog` logs."""

    def __init__(self, key: str, mode: str) -> None:
        self.key = key
        self.sign = {"min": 1.0, "max": -1.0}[mode]
        self.value: float | None = None

    def beaten(self, module: AdversarialModule) -> bool:
        """Whether there is a new value and it is the best.

        Raises:
            ConfigError: There is no such key.
        """
        logged = module.latest
        if not logged or logged["progress/images_seen"] != module.images_seen:
            return False
        if self.key not in logged:
            known = ", ".join(key for key in logged if key.startswith("train/"))
            raise ConfigError(f"callbacks.checkpoints.best={self.key} is not logged: choose from {known}.")
        newest = self.sign * logged[self.key]
        if not newest < (float("inf") if self.value is None else self.value):  # NaN is never the best
            return False
        self.value = newest
        return True


def copy_folder(copy_to: str, run: Path) -> Path:
    """Where the second copy of a run's newest checkpoint is."""
    return Path(copy_to) / run.resolve().name


def _number(file: Path) -> int:
    return int(file.stem.rpartition("_")[2])


def _check(every_images: int | None, every_minutes: float | None, keep: int, best: str | None, best_mode: str) -> None:
    key = "callbacks.checkpoints"
    for name, value in {"every_images": every_images, "keep": keep}.items():
        if value is not None and value < 1:
            raise ConfigError(f"{key}.{name}={value} is not allowed: it must be at least 1.")
    if every_minutes is not None and every_minutes <= 0:
        raise ConfigError(f"{key}.every_minutes={every_minutes} is not allowed: it must be greater than 0, or null.")
    if best_mode not in ("min", "max"):
        raise ConfigError(f"{key}.best_mode={best_mode} is not known: choose min or max.")
    if best is not None and best.startswith("eval/"):
        raise ConfigError(
            f"{key}.best={best} is for what is logged in training: use evaluation.best for what is measured."
        )


def _same_file(source: Path, target: Path) -> None:
    """Make `target` a second name of `source`, or a copy where the file system has no second names, in one step."""
    with _complete(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes to a temporary name beside the target, flushes to the disk, and renames: a reader sees all of a file or none."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with _complete(target) as temporary, temporary.open("wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:
            raise _word_of_the_disk(error, target) from error


@contextmanager
def _complete(target: Path) -> Iterator[Path]:
    """A name to write to, which becomes `target` once the block has ended and everything is on the disk."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(target)
        with suppress(OSError):  # not every file system can do this to a folder
            _flush(target.parent)  # the new name
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _word_of_the_disk(error: BaseException, target: Path) -> BaseException:
    """What the disk said, which PyTorch's writer covers with an error of its own, or the error itself."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    return error if cause is None else OSError(cause.errno, cause.strerror, str(target))
