"""What several processes that share a batch agree on."""

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
