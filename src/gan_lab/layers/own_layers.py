"""Layers with separate weights for each label, such as those of the generators of a mixture."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan_lab.layers.labeled import Labeled
from gan_lab.layers.memory import use_channels_last

Weighted = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


class OwnLayer(Labeled, nn.Module):
    """A linear layer or convolution with its own weights and bias for each label.

    It computes the outputs of all labels, as one wide layer, and selects for each sample those of its label, so that no
    size depends on how often a label occurs, which a GPU would have to report first. The first label keeps the initial
    weights. Those of the others have the same entries in random order: another draw of every initialization with
    independent entries.

    Args:
        layer: The layer of the first label.
        count: Number of labels.
    """

    def __init__(self, layer: Weighted, count: int) -> None:
        super().__init__()
        self.count = count
        self.layer = copy.deepcopy(layer)
        outputs = 1 if isinstance(layer, nn.ConvTranspose2d) else 0  # dimension of the outputs in the weights
        self.layer.weight = _repeated(layer.weight, count, outputs)
        if layer.bias is not None:
            self.layer.bias = _repeated(layer.bias, count, 0)
        for size in ("out_features", "out_channels"):
            if hasattr(layer, size):
                setattr(self.layer, size, count * getattr(layer, size))
        use_channels_last(self.layer)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (n, outputs, ...) of each sample's own layer, for inputs (n, inputs, ...).

        Raises:
            ValueError: There are no labels, because the call is outside `labels_for`.
        """
        labels = self.required_labels()
        of_all: Tensor = self.layer(x).unflatten(1, (self.count, -1))  # (n, count, outputs, ...)
        return of_all[torch.arange(labels.shape[0], device=labels.device), labels]


def _repeated(values: Tensor, count: int, dim: int) -> nn.Parameter:
    """A tensor and `count` - 1 others of its entries in random order, concatenated along `dim`."""
    values = values.detach()
    others = [values.flatten()[torch.randperm(values.numel())].view_as(values) for _ in range(count - 1)]
    return nn.Parameter(torch.cat([values, *others], dim))


class OwnBatchNorm(Labeled, _BatchNorm):
    """Batch norm with its own statistics, gain and shift for each label.

    A sample is normalized with the samples of its label. A label with fewer than two values of a channel in a batch has
    no variance there: it is normalized with its running statistics, which it keeps. The features are those of all
    labels, one after the other.

    Args:
        norm: Batch norm of one label, whose settings and initial values are copied.
        count: Number of labels.
    """

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, count: int) -> None:
        super().__init__(count * norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
        self.count = count
        with torch.no_grad():
            for ours, theirs in zip(self.parameters(), norm.parameters(), strict=True):
                ours.copy_(theirs.repeat(count))

    def forward(self, x: Tensor) -> Tensor:
        """Normalized x, (n, channels, ...), in its dtype.

        Raises:
            ValueError: There are no labels, because the call is outside `labels_for`.
        """
        labels = self.required_labels()
        with torch.autocast(x.device.type, enabled=False):
            wide = x.float().flatten(2) if x.dim() > 2 else x.float()[:, :, None]  # (n, channels, pixels)
            mean, variance = self._statistics(wide, labels)  # (count, channels)
            y = (wide - mean[labels, :, None]) * (variance + self.eps).rsqrt()[labels, :, None]
            if self.affine:
                y = y * self._by_label(self.weight)[labels, :, None] + self._by_label(self.bias)[labels, :, None]
        return y.view_as(x).to(x.dtype)

    def _statistics(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Means and biased variances (count, channels) that normalize x (n, channels, pixels)."""
        if not self.training and self.running_mean is not None:
            return self._by_label(self.running_mean), self._by_label(self.running_var)
        members = F.one_hot(labels, self.count).to(x.dtype).T  # (count, n)
        sizes = members.sum(1, keepdim=True) * x.shape[2]  # (count, 1), in pixels
        mean = members @ x.sum(2) / sizes.clamp(min=1)
        variance = members @ (x - mean[labels, :, None]).square().sum(2) / sizes.clamp(min=1)
        if self.running_mean is None:
            return mean, variance
        enough = sizes > 1
        old = self._by_label(self.running_mean).clone(), self._by_label(self.running_var).clone()
        self._update_running_statistics(mean.detach(), variance.detach(), sizes)
        return torch.where(enough, mean, old[0]), torch.where(enough, variance, old[1])

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, variance: Tensor, sizes: Tensor) -> None:
        """Update the running statistics of the labels that have some as `nn.BatchNorm2d` does: unbiased variances."""
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        weight = self.momentum if self.momentum is not None else 1 / self.num_batches_tracked
        weights = weight * (sizes > 1).to(mean.dtype)  # (count, 1)
        unbiased = variance * sizes / (sizes - 1).clamp(min=1)
        for running, new in ((self.running_mean, mean), (self.running_var, unbiased)):
            rows = self._by_label(running)
            rows.add_(weights * (new - rows))

    def _by_label(self, values: Tensor | None) -> Tensor:
        assert values is not None
        return values.view(self.count, -1)
