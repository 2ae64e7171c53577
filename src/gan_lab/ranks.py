"""Rank of this process in a run. Does not import torch."""

import os
import sys


def is_first_process() -> bool:
    """True in the process that writes files, on one or several machines, before or after torch.distributed starts.

    While torch.distributed is initialized, its rank decides; otherwise environment variables do. torchrun sets RANK;
    SLURM sets SLURM_PROCID only; Lightning sets LOCAL_RANK for the processes that it starts; on several machines the
    user or Lightning sets NODE_RANK, or torchrun GROUP_RANK.
    """
    if (known := _known_rank()) is not None:
        return known == 0
    return not any(int(os.environ.get(name, 0)) for name in ("NODE_RANK", "GROUP_RANK", "LOCAL_RANK", "SLURM_PROCID"))


def rank() -> int:
    """Rank of this process for messages; before torch.distributed starts, the local rank of Lightning's processes."""
    if (known := _known_rank()) is not None:
        return known
    return int(os.environ.get("SLURM_PROCID") or os.environ.get("LOCAL_RANK") or 0)


def _known_rank() -> int | None:
    """Rank over all machines, from torch.distributed once it is initialized, else from torchrun."""
    distributed = sys.modules.get("torch.distributed")  # not imported here if it is not loaded yet
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_rank())
    return int(os.environ["RANK"]) if "RANK" in os.environ else None
