"""Batch norm over the samples of all processes that share a batch (cross-replica batch norm).

`torch.nn.SyncBatchNorm` needs GPUs. This one is made of differentiable sums over processes and works on the CPU as well,
where the tests compare it with one process.
"""

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm

from gan_lab.processes import num_processes


class _Synchronized(_BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        """Normalized x, (n, channels, ...), by the statistics of all processes' x in training mode.

        All of them must call it equally often, with as many samples each.
        """
        if not self.training or num_processes() == 1:
            return super().forward(x)
        self._check_input_dim(x)
        dims, per_channel = [0, *range(2, x.dim())], (1, -1, *[1] * (x.dim() - 2))
        wide = x.float()
        mean = _mean_over_processes(wide.mean(dims))  # (channels,)
        centred = wide - mean.view(per_channel)
        variance = _mean_over_processes(centred.square().mean(dims))
        if self.track_running_stats:
            self._note(mean.detach(), variance.detach(), num_processes() * x.numel() // x.shape[1])
        y = centred * (variance + self.eps).rsqrt().view(per_channel)
        if self.weight is not None:
            y = y * self.weight.view(per_channel) + self.bias.view(per_channel)
        return y.to(x.dtype)

    @torch.no_grad()
    def _note(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Let the running statistics follow, as in `nn.BatchNorm2d`: with the unbiased variance."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = self.momentum if self.momentum is not None else 1 / self.num_batches_tracked.item()
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), share)


class SynchronizedBatchNorm1d(_Synchronized, nn.BatchNorm1d):
    """`nn.BatchNorm1d` with the statistics of all processes in training."""


class SynchronizedBatchNorm2d(_Synchronized, nn.BatchNorm2d):
    """`nn.BatchNorm2d` with the statistics of all processes in training."""


def synchronized(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> _Synchronized:
    """A synchronized batch norm with the parameters, buffers and settings of this one."""
    kind = SynchronizedBatchNorm1d if isinstance(norm, nn.BatchNorm1d) else SynchronizedBatchNorm2d
    made = kind(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    made._parameters, made._buffers = norm._parameters, norm._buffers
    return made.train(norm.training)


def _mean_over_processes(values: Tensor) -> Tensor:
    """With a graph, as `gan_lab.processes.mean_over_processes` has none."""
    return all_reduce(values.contiguous()) / num_processes()
