"""What several processes that share a batch agree on."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor


def num_processes() -> int:
    """Number of processes that share a batch."""
    is_shared = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if is_shared else 1


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
