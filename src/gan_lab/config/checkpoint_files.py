"""Which checkpoint of a run is to be read: the newest that is whole."""

import logging
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from gan_lab.errors import CheckpointError

log = logging.getLogger(__name__)

LAST, NUMBERED = "last.ckpt", "images_*.ckpt"


def find_checkpoint(path: str | Path) -> Path:
    """The file itself, or the newest whole checkpoint of a run folder.

    Raises:
        CheckpointError: Neither is there.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.exists():
        raise CheckpointError(f"{path} does not exist: give a checkpoint file or a run folder.")
    folder = path / "checkpoints"
    newest = newest_checkpoint(folder)
    if newest is None:
        raise CheckpointError(f"{path} is no run folder with a checkpoint: {folder / LAST} is missing.")
    return newest


def newest_checkpoint(*folders: Path) -> Path | None:
    """The newest whole checkpoint in the first folder that has one, after a warning for each damaged one; None if there is none.

    Raises:
        CheckpointError: There are checkpoints, and all are damaged.
    """
    damaged = []
    for file in (file for folder in folders for file in _newest_first(folder)):
        try:
            read_checkpoint(file)
        except CheckpointError as error:
            log.warning("%s The one before it is taken.", error)
            damaged.append(file)
        else:
            return file
    if damaged:
        raise CheckpointError(
            f"{damaged[0].parent} has no whole checkpoint: give another run.name to begin anew, or remove the damaged files."
        )
    return None


def _newest_first(folder: Path) -> Iterator[Path]:
    """Numbered checkpoints, then `last.ckpt` where it is not one of them under a second name."""
    numbered = sorted(folder.glob(NUMBERED), reverse=True)
    yield from numbered
    last = folder / LAST
    if last.is_file() and not any(last.samefile(file) for file in numbered):
        yield last


def read_checkpoint(file: Path) -> dict[str, Any]:
    """The contents of a checkpoint of gan_lab, on the CPU.

    `torch.save` writes a zip archive with a CRC-32 of every record, which `torch.load` does not look at. It is compared here,
    so that no other file has to be kept beside a checkpoint and stay true to it.

    Raises:
        CheckpointError: The file is damaged, or is something else.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise zipfile.BadZipFile(broken)
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except (
        RuntimeError, EOFError, OSError, pickle.UnpicklingError, zipfile.BadZipFile, ValueError, KeyError, NotImplementedError,
    ) as error:  # fmt: skip
        raise CheckpointError(f"{file} cannot be read: it is cut short, damaged, or no checkpoint.") from error
    if not isinstance(checkpoint, dict) or "gan_lab" not in checkpoint or "state_dict" not in checkpoint:
        raise CheckpointError(f"{file} is no checkpoint of gan_lab: it holds no config.")
    return checkpoint


def images_seen(checkpoint: dict[str, Any]) -> int:
    """Real images that the run had seen when it wrote the checkpoint."""
    return checkpoint["state_dict"]["_extra_state"]["images_seen"]
