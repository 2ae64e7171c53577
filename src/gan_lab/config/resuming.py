"""From where a run goes on, whether it may, and that it is alone in its folder."""

import json
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from gan_lab.callbacks.checkpoints import copy_folder
from gan_lab.config.checkpoint_files import find_checkpoint, images_seen, newest_checkpoint, read_checkpoint
from gan_lab.config.exports import SUFFIX
from gan_lab.config.foreign import foreign_config
from gan_lab.config.run_folders import FINISHED
from gan_lab.errors import CheckpointError, ConfigError
from gan_lab.metrics.cache import whole
from gan_lab.processes import is_first_process

log = logging.getLogger(__name__)

CHANGE_NOTHING = (
    "run.", "resume", "allow_changes", "allow_targets", "time_limit", "budget.", "logger.", "callbacks.", "evaluation.", "extractor",
    "hardware.num_workers", "dataset.num_workers", "dataset.cache", "dataset.budget_images", "trainer.profiler",
    "trainer.detect_anomaly", "on_collapse", "on_non_finite", "rollback.", "check_finite",
)  # fmt: skip
"""Beginnings of keys that may differ when a run goes on: where it is kept, shown and measured, how long it is, and how its
batches are brought in. A budget that something else is computed from, as the growth of networks, shows in that key."""

WAIT_SECONDS = 20
"""How long a run waits for its folder: data workers of a killed process live on for some seconds."""


@dataclass(frozen=True)
class Start:
    """A checkpoint from which a run goes on.

    Attributes:
        file: The checkpoint.
        images_seen: Real images that the run had seen.
        config: The resolved config that it was trained with.
    """

    file: Path
    images_seen: int
    config: dict[str, Any]


def find_start(cfg: DictConfig) -> Start | None:
    """Where a run begins: None for its very beginning.

    A checkpoint file of its own folder that `resume` names; else the newest whole one there; else what `resume` names
    elsewhere. So the same command, given again and again, goes on each time.

    Raises:
        CheckpointError: `resume` names nothing that can be used, or all checkpoints of the run are damaged.
    """
    folder = Path(cfg.run.dir) / "checkpoints"
    named = None if cfg.resume is None else _resumable(Path(cfg.resume))
    file = named if named is not None and named.is_file() and named.resolve().parent == folder.resolve() else None
    file = file or newest_checkpoint(folder, *_copies(cfg)) or (None if named is None else find_checkpoint(named))
    if file is None:
        return None
    checkpoint = read_checkpoint(file)
    config = OmegaConf.to_container(foreign_config(checkpoint["gan_lab"]["config"], file))
    assert isinstance(config, dict)
    return Start(file, images_seen(checkpoint), config)  # type: ignore[arg-type]


def _resumable(path: Path) -> Path:
    """The same, unless it is something that is easily taken for a run.

    Raises:
        CheckpointError: It is an export or the folder of a sweep.
    """
    if path.is_file() and path.suffix == SUFFIX:
        raise CheckpointError(
            f"resume={path} is an export, which holds the weights of one generator and nothing else that a run goes on with: give "
            "the run folder that it was made from, or a .ckpt file."
        )
    if (path / "multirun.yaml").is_file():
        raise CheckpointError(
            f"resume={path} is the folder of a sweep: to go on with all of it, give its command again with hydra.sweep.dir={path}; "
            f"to go on with one of its runs, name that, as in resume={path}/0."
        )
    return path


def _copies(cfg: DictConfig) -> list[Path]:
    copy_to = OmegaConf.select(cfg, "callbacks.checkpoints.copy_to")
    return [] if copy_to is None else [copy_folder(copy_to, Path(cfg.run.dir))]


def check_changes(cfg: DictConfig, resolved: DictConfig, start: Start) -> list[str]:
    """The changed settings that alter the training, as `key: old, now new`.

    Args:
        cfg: The config as it was composed: of changed settings, those are named that others follow.
        resolved: The same config, resolved.
        start: From where the run goes on.

    Raises:
        ConfigError: There are some, and `allow_changes` is false.
    """
    before, now = dict(_leaves(start.config)), dict(_leaves(OmegaConf.to_container(resolved)))
    changed = [
        key for key in [*now, *(key for key in before if key not in now)]
        if before.get(key) != now.get(key) and not key.startswith(CHANGE_NOTHING)
    ]  # fmt: skip
    named = [key for key in changed if not _follows(cfg, key)] or changed
    told = [f"{key}={before.get(key)} (now {now.get(key)})" for key in named]
    if told and not cfg.allow_changes:
        raise ConfigError(
            f"{start.file} was trained with {', '.join(told)}: give the settings that it had, another run.name to begin anew, "
            "or allow_changes=true to go on with the new ones."
        )
    return told


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        elif value != {}:
            yield f"{prefix}{key}", value


def _follows(cfg: DictConfig, key: str) -> bool:
    """Whether the value is computed from another setting."""
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    return isinstance(node, DictConfig) and name in node and OmegaConf.is_interpolation(node, name)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a run folder, which ends with the process however that ends. Nothing in processes other than the first.

    Raises:
        ConfigError: Another process holds it.
    """
    if not is_first_process():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=WAIT_SECONDS)
    except Timeout:
        raise ConfigError(
            f"run.dir={folder} is in use by another run: wait until it has ended, or give another run.name."
        ) from None
    except NotImplementedError:  # a file system without locks
        pass
    try:
        yield
    finally:
        lock.release()


class RunState:
    """`state.json` of a run folder: `running`, `finished`, `stopped` (to go on later) or `failed`, and how far it is.

    A run that was killed is left as `running`. Only the first process writes.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "state.json"

    @property
    def finished(self) -> bool:
        """Whether the run has reached its budget, and left everything that belongs to its end."""
        return self.read().get("state") == FINISHED

    def read(self) -> dict[str, Any]:
        """What was written last; nothing before the run has begun."""
        return json.loads(self.file.read_text()) if self.file.is_file() else {}

    def write(self, state: str, images_seen: int, budget: int, reason: str | None = None) -> None:
        """Note the state, `reason` being the signal or the error that ended the run."""
        if is_first_process():
            note = {
                "state": state, "reason": reason, "images_seen": images_seen, "budget_images": budget,
                "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "host": socket.gethostname(), "process": os.getpid(),
            }  # fmt: skip
            with whole(self.file) as target:
                target.write(json.dumps(note, indent=2).encode() + b"\n")
