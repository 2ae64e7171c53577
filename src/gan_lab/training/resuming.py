"""Start of a run: the checkpoint to resume from, and the lock of the run folder."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from gan_lab.callbacks.checkpoints import copy_folder, refuse_copy_of_another_run
from gan_lab.config.untrusted import foreign_config
from gan_lab.errors import CheckpointError, ConfigError
from gan_lab.files import refuse_links, relative_path, remove_temporary_files
from gan_lab.ranks import is_first_process
from gan_lab.runs.checkpoints import Checkpoint, find_checkpoint, newest_checkpoint
from gan_lab.runs.remote import local_path, named
from gan_lab.sampling.export_file import SUFFIX

log = logging.getLogger(__name__)

WAIT_SECONDS = 20
"""Longest wait for the lock of a run folder: data workers of a killed process exit some seconds later."""


@dataclass(frozen=True)
class Start:
    """Checkpoint that a run is resumed from.

    Attributes:
        checkpoint: The checkpoint.
        config: Resolved config of the run that wrote it.
        is_branch: Whether it belongs to another run, so that this one starts its own log, figures and checkpoints.
    """

    checkpoint: Checkpoint
    config: dict[str, Any]
    is_branch: bool = False

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, is_branch: bool = False) -> "Start":
        """Read the config of a checkpoint.

        Raises:
            CheckpointError: The config cannot be read.
        """
        config = OmegaConf.to_container(foreign_config(checkpoint.config, checkpoint.file))
        return cls(checkpoint, cast(dict[str, Any], config), is_branch)

    @property
    def file(self) -> Path:
        """File of the checkpoint."""
        return self.checkpoint.file

    @property
    def run(self) -> Path:
        """The run folder, relative to the working directory if it is below; the file if that is not in one."""
        in_run = self.file.parent.name == "checkpoints"
        return Path(relative_path(self.file.parent.parent if in_run else self.file))

    @property
    def images_seen(self) -> int:
        """Real images seen at the checkpoint."""
        return self.checkpoint.images_seen


def find_start(cfg: DictConfig) -> Start | None:
    """Checkpoint to resume from; None to train from scratch.

    In this order: the file that `resume` names in the run's own folder, the newest valid checkpoint there, and the file
    or run that `resume` names elsewhere. So a repeated command resumes each time.

    Raises:
        CheckpointError: `resume` is not a checkpoint or a run, or all checkpoints of the run are damaged.
        ConfigError: `copy_to` contains the copy of another run.
    """
    folder = Path(cfg.run.dir) / "checkpoints"
    given = None if cfg.resume is None else _resumable(local_path(cfg.resume))
    in_folder = given is not None and given.is_file() and given.resolve().parent == folder.resolve()
    if given is not None and in_folder:
        checkpoint: Checkpoint | None = find_checkpoint(given, for_training=True)
    else:
        checkpoint = newest_checkpoint(folder, *_copies(cfg), for_training=True)
    if checkpoint is None and given is not None:
        return Start.from_checkpoint(find_checkpoint(given, for_training=True), is_branch=True)
    return None if checkpoint is None else Start.from_checkpoint(checkpoint)


def _resumable(path: Path) -> Path:
    """Check that the path of `resume` is not an export or the folder of a sweep.

    Raises:
        CheckpointError: It is one.
    """
    if path.is_file() and path.suffix == SUFFIX:
        raise CheckpointError(
            f"resume={named(path)} is an export, which contains the weights of one generator but not the training "
            "state: give the run folder that it was exported from, or a .ckpt file."
        )
    if (path / "multirun.yaml").is_file():
        raise CheckpointError(
            f"resume={path} is the folder of a sweep: to resume the sweep, repeat its command with "
            f"hydra.sweep.dir={path}; to resume one of its runs, give its folder, as in resume={path}/0."
        )
    return path


def _copies(cfg: DictConfig) -> list[Path]:
    copy_to = OmegaConf.select(cfg, "callbacks.checkpoints.copy_to")
    if copy_to is None:
        return []
    copy = copy_folder(copy_to, Path(cfg.run.dir))
    refuse_copy_of_another_run(copy, Path(cfg.run.dir))
    return [copy]


@contextmanager
def lock_run_folder(folder: Path) -> Iterator[None]:
    """Lock a run folder in the first process; the lock ends with the process, also if it is killed.

    A folder that is created for it and in which nothing was written is removed again.

    Raises:
        ConfigError: Another process holds it.
        DataError: The folder contains a link to a target outside of it.
    """
    if not is_first_process():
        yield
        return
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    refuse_links(folder)
    file = folder / ".lock"
    lock = FileLock(file)
    try:
        lock.acquire(timeout=WAIT_SECONDS)
    except Timeout:
        raise ConfigError(
            f"run.dir={folder} is in use by another run: wait until it has ended, or give another run.name."
        ) from None
    except NotImplementedError:  # a file system without locks
        pass
    try:
        remove_temporary_files(folder)
        yield
    finally:
        lock.release()
        with suppress(OSError):
            if is_new and os.listdir(folder) == [file.name]:
                file.unlink()
                folder.rmdir()
