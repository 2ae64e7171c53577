"""What several processes that share a batch agree on."""

import os
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor


def num_processes() -> int:
    """Number of processes that share a batch."""
    is_shared = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if is_shared else 1


def is_first_process() -> bool:
    """Whether this is the process that writes files, as far as the environment tells before processes know each other.

    torchrun sets RANK. SLURM sets SLURM_PROCID alone. Lightning sets LOCAL_RANK for the processes that it starts, and on
    several machines a user or Lightning sets NODE_RANK.
    """
    if "RANK" in os.environ:
        return int(os.environ["RANK"]) == 0
    return not any(int(os.environ.get(name, 0)) for name in ("NODE_RANK", "GROUP_RANK", "LOCAL_RANK", "SLURM_PROCID"))


def largest_of_processes(number: int) -> int:
    """The largest of the numbers that all processes give, the same on each. All of them must call this."""
    if num_processes() == 1:
        return number
    found = torch.tensor(number)
    torch.distributed.all_reduce(
        found, torch.distributed.ReduceOp.MAX, group=_on_the_host(torch.distributed.group.WORLD)
    )
    return int(found)


def texts_of_processes(texts: Sequence[str]) -> list[str]:
    """The texts of all processes without repeats, the same on each. All of them must call this."""
    found: list[Any] = [list(texts)] * num_processes()
    if len(found) > 1:
        torch.distributed.all_gather_object(found, list(texts), group=_on_the_host(torch.distributed.group.WORLD))
    return list(dict.fromkeys(text for of_one in found for text in of_one))


@cache
def _on_the_host(world: Any) -> Any:
    """A group for numbers that are read at once: NCCL would let the host wait for the device."""
    if torch.distributed.get_backend(world) == "gloo":
        return world
    return torch.distributed.new_group(backend="gloo")


def rows_of_processes(values: Tensor) -> Tensor:
    """Values (n,) of every process, (processes, n), the same on each. All of them must call this with as many values."""
    rows = [torch.empty_like(values) for _ in range(num_processes())]
    if len(rows) == 1:
        return values[None]
    torch.distributed.all_gather(rows, values)
    return torch.stack(rows)


@torch.no_grad()
def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of a tensor over all processes, the same on each; the tensor itself where there is one."""
    if num_processes() == 1:
        return values
    total = values.detach().clone()
    torch.distributed.all_reduce(total)
    return total / num_processes()


@torch.no_grad()
def average_over_processes(tensors: Sequence[Tensor]) -> None:
    """Replace tensors by their means over all processes, in place, with one message for each dtype.

    The shapes must be the same on all processes. With one process nothing is done.
    """
    if num_processes() == 1:
        return
    kinds: dict[torch.dtype, list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        kinds[tensor.dtype].append(tensor)
    for alike in kinds.values():
        flat = torch.cat([tensor.reshape(-1) for tensor in alike])
        torch.distributed.all_reduce(flat)
        flat /= num_processes()
        parts = flat.split([tensor.numel() for tensor in alike])
        torch._foreach_copy_(alike, [part.view_as(tensor) for part, tensor in zip(parts, alike, strict=True)])
