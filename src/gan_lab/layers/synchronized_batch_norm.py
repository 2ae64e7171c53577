"""Batch norm over the samples of all processes that share a batch (cross-replica batch norm).

`torch.nn.SyncBatchNorm` needs GPUs. This one uses differentiable all-reduces and also works on the CPU, where the tests
compare it with one process.
"""

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm

from gan_lab.layers.per_image_batch_norm import PerImageBatchNorm2d
from gan_lab.processes import num_processes


class _Synchronized(_BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        """Normalized x, (n, channels, ...), in training mode with the statistics over all processes.

        A collective call: every process must make it, with the same number of samples.
        """
        if not self.training or num_processes() == 1:
            return super().forward(x)
        self._check_input_dim(x)
        dims, per_channel = [0, *range(2, x.dim())], (1, -1, *[1] * (x.dim() - 2))
        wide = x.float()
        mean = _mean_over_processes(wide.mean(dims))  # (channels,)
        centered = wide - mean.view(per_channel)
        variance = _mean_over_processes(centered.square().mean(dims))
        if self.track_running_stats:
            self._update_running_statistics(mean.detach(), variance.detach(), num_processes() * x.numel() // x.shape[1])
        y = centered * (variance + self.eps).rsqrt().view(per_channel)
        if self.weight is not None:
            y = y * self.weight.view(per_channel) + self.bias.view(per_channel)
        return y.to(x.dtype)

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Update the running statistics as `nn.BatchNorm2d` does, with the unbiased variance."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        weight = self.momentum if self.momentum is not None else 1 / self.num_batches_tracked.item()
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), weight)


class SynchronizedBatchNorm1d(_Synchronized, nn.BatchNorm1d):
    """`nn.BatchNorm1d` with statistics over all processes in training."""


class SynchronizedBatchNorm2d(_Synchronized, nn.BatchNorm2d):
    """`nn.BatchNorm2d` with statistics over all processes in training."""


class SynchronizedPerImageBatchNorm2d(_Synchronized, PerImageBatchNorm2d):
    """`PerImageBatchNorm2d` with statistics over all processes in training."""


SYNCHRONIZED = {
    nn.BatchNorm1d: SynchronizedBatchNorm1d,
    nn.BatchNorm2d: SynchronizedBatchNorm2d,
    PerImageBatchNorm2d: SynchronizedPerImageBatchNorm2d,
}


def synchronized(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> _Synchronized:
    """A synchronized batch norm with the same parameters, buffers and settings."""
    layer = SYNCHRONIZED[type(norm)](norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    layer._parameters, layer._buffers = norm._parameters, norm._buffers
    return layer.train(norm.training)


def _mean_over_processes(values: Tensor) -> Tensor:
    """Differentiable mean over processes, unlike `gan_lab.processes.mean_over_processes`."""
    return all_reduce(values.contiguous()) / num_processes()
