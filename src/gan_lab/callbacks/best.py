"""The checkpoint with the best value of a run that returns to an earlier checkpoint."""

from pathlib import Path
from typing import Any

import torch

ASIDE = ".aside"
"""Suffix of checkpoints that are later than the one that the run was resumed from."""


def set_aside_later_best(trainer: Any, file: Path, images_seen: int) -> bool:
    """Append `.aside` to the name of `best.ckpt` if its weights are later than those of the run.

    Args:
        trainer: Its first process decides and renames.
        file: `best.ckpt`; it may be missing.
        images_seen: Images that the run has seen where it resumes.

    Returns:
        Whether it was set aside, the same in all processes.
    """
    is_later = bool(trainer.strategy.broadcast(trainer.is_global_zero and _images_seen(file) > images_seen))
    if is_later and trainer.is_global_zero:
        file.replace(file.with_name(file.name + ASIDE))
    return is_later


def _images_seen(file: Path) -> int:
    """Images seen by the weights of a checkpoint; -1 if it is missing or damaged."""
    if not file.is_file():
        return -1
    try:
        contents = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        return int(contents["state_dict"]["_extra_state"]["images_seen"])
    except Exception:  # what the reader of a damaged file raises is not known
        return -1
