"""Collective operations of the processes that share a batch."""

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


def max_over_processes(number: int) -> int:
    """Largest number over all processes, on every process. A collective call: all processes must make it."""
    if num_processes() == 1:
        return number
    largest = torch.tensor(number)
    torch.distributed.all_reduce(
        largest, torch.distributed.ReduceOp.MAX, group=_host_group(torch.distributed.group.WORLD)
    )
    return int(largest)


def union_over_processes(texts: Sequence[str]) -> list[str]:
    """Distinct texts of all processes, in the same order on every process. All processes must call this."""
    gathered: list[Any] = [list(texts)] * num_processes()
    if len(gathered) > 1:
        torch.distributed.all_gather_object(gathered, list(texts), group=_host_group(torch.distributed.group.WORLD))
    return list(dict.fromkeys(text for of_process in gathered for text in of_process))


@cache
def _host_group(world: Any) -> Any:
    """Gloo group for values that the host reads immediately; with NCCL the host would wait for the device."""
    if torch.distributed.get_backend(world) == "gloo":
        return world
    return torch.distributed.new_group(backend="gloo")


def gather_from_processes(values: Tensor) -> Tensor:
    """Values (n, ...) of all processes as (processes, n, ...), on every process. All must call this with the same n."""
    rows = [torch.empty_like(values) for _ in range(num_processes())]
    if len(rows) == 1:
        return values[None]
    torch.distributed.all_gather(rows, values)
    return torch.stack(rows)


def rows_of_all_processes(rows: Tensor) -> Tensor:
    """Rows (n, ...) of all processes in the order of the batch, in which the rows of the processes alternate.

    A collective call: every process must make it, with the same n.
    """
    return gather_from_processes(rows.contiguous()).transpose(0, 1).flatten(0, 1)


def rows_of_this_process(rows: Tensor) -> Tensor:
    """The rows of this process, of those of all processes in the order of the batch."""
    processes = num_processes()
    return rows if processes == 1 else rows[torch.distributed.get_rank() :: processes]


@torch.no_grad()
def mean_over_processes(values: Tensor) -> Tensor:
    """Mean of a tensor over all processes, on every process; the tensor itself if there is one process."""
    if num_processes() == 1:
        return values
    total = values.detach().clone()
    torch.distributed.all_reduce(total)
    return total / num_processes()


@torch.no_grad()
def average_over_processes(tensors: Sequence[Tensor]) -> None:
    """Replace tensors by their means over all processes, in place, with one all-reduce for each dtype.

    The shapes must be the same on all processes. With one process, the tensors are left unchanged.
    """
    if num_processes() == 1:
        return
    by_dtype: dict[torch.dtype, list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        by_dtype[tensor.dtype].append(tensor)
    for group in by_dtype.values():
        flat = torch.cat([tensor.reshape(-1) for tensor in group])
        torch.distributed.all_reduce(flat)
        flat /= num_processes()
        parts = flat.split([tensor.numel() for tensor in group])
        torch._foreach_copy_(group, [part.view_as(tensor) for part, tensor in zip(parts, group, strict=True)])
