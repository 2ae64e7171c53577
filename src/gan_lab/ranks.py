"""Rank of this process in a run. Does not import torch."""

import os
import sys

from gan_lab.errors import ConfigError

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
"""Variables that launchers set: number of the process, of its machine or of the process on it."""

COUNTS = ("WORLD_SIZE", "SLURM_NTASKS")
"""Variables that launchers set: number of all processes."""


def forget_empty_variables() -> None:
    """Remove empty variables of launchers, as `docker run -e RANK=` sets them: Lightning reads numbers there."""
    for name in (*RANKS, *COUNTS):
        if os.environ.get(name) == "":
            del os.environ[name]


def is_first_process() -> bool:
    """True in the process that writes files, on one or several machines, before or after torch.distributed starts.

    While torch.distributed is initialized, its rank decides; otherwise environment variables do. torchrun sets RANK;
    SLURM sets SLURM_PROCID only; Lightning sets LOCAL_RANK for the processes that it starts; on several machines the
    user or Lightning sets NODE_RANK, or torchrun GROUP_RANK.
    """
    if (known := _known_rank()) is not None:
        return known == 0
    return not any(map(_number, RANKS))


def rank() -> int:
    """Rank of this process for messages; before torch.distributed starts, the local rank of Lightning's processes."""
    if (known := _known_rank()) is not None:
        return known
    return _number("SLURM_PROCID") or _number("LOCAL_RANK") or 0


def sign_of_processes() -> str | None:
    """The environment variable, as `RANK=1`, that shows that a launcher has started several processes, or None.

    Raises:
        ConfigError: One of these variables is not a number.
    """
    for name in (*RANKS, *COUNTS):
        if (value := os.environ.get(name)) and _number(name) is None:
            raise ConfigError(f"{name}={value} is not allowed: it must be the whole number of a launcher; unset it.")
    count = "SLURM_NTASKS" if _is_step_of_srun() else "WORLD_SIZE" if os.environ.get("RANK") else None
    signs = [name for name in RANKS if _number(name)]
    if count is not None and (_number(count) or 1) > 1:
        signs.append(count)
    return f"{signs[0]}={os.environ[signs[0]]}" if signs else None


def _number(name: str) -> int | None:
    """The whole number in an environment variable; None if it is not set, empty or something else."""
    value = os.environ.get(name, "").strip()
    return int(value) if value.isdecimal() else None


def _is_step_of_srun() -> bool:
    """Whether srun has started this process: not in the shell of an allocation, which has the number of tasks too."""
    return "SLURM_STEP_ID" in os.environ and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive")


def _known_rank() -> int | None:
    """Rank over all machines, from torch.distributed once it is initialized, else from torchrun."""
    distributed = sys.modules.get("torch.distributed")  # not imported here if it is not loaded yet
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    return _number("RANK")
