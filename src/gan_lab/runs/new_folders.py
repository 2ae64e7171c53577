"""Folders that this command creates for runs: they are removed again if none begins in them. Light, without Hydra."""

import os
import shutil
from pathlib import Path

OF_A_RUN = ("config.yaml", "state.json", "checkpoints")
"""What a folder has if a run was ever started in it."""

NOTES = ".hydra"
"""Folder of Hydra's record of the overrides, in a run folder."""

FILES = (".lock", "multirun.yaml")
"""Files that are written before a run or a sweep begins, apart from logs."""

_created: list[Path] = []


def note_if_new(path: str | os.PathLike[str]) -> None:
    """Record that this command is about to create a folder of a run or of a sweep, or the notes in it."""
    if not os.path.lexists(path):
        note_new(path)


def note_new(path: str | os.PathLike[str]) -> None:
    """Record that this command has created a folder."""
    _created.append(Path(path).absolute())


def remove_unused() -> None:
    """Remove the recorded folders in which no run was started; what was there before this command stays."""
    while _created:
        path = _created.pop()
        notes = path.parent if path.parent.name == NOTES else path  # that of a command that resumes is below the other
        is_record = notes.name == NOTES
        run = notes.parent if is_record else path
        if any((run / name).exists() for name in OF_A_RUN):
            continue
        if is_record or _is_unused(path):
            shutil.rmtree(path, ignore_errors=True)


def _is_unused(folder: Path) -> bool:
    """Whether a folder and those in it, of the runs of a sweep, have nothing but a lock, logs and Hydra's files."""
    return folder.is_dir() and all(
        _is_unused(file) if file.is_dir() else file.name in FILES or file.suffix == ".log" for file in folder.iterdir()
    )
