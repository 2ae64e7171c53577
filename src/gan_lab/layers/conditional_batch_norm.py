"""Batch normalization with a gain and a shift for each label."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from gan_lab.layers.labeled import Labeled, TakesMixtures, rows_of_labels


class ConditionalBatchNorm(Labeled, TakesMixtures, nn.Module):
    """Batch norm with gain and shift by label (de Vries et al., 2017; Miyato & Koyama, 2018, §3).

    Statistics are over the entire batch, regardless of labels. Every row of the tables `gain` and `shift`,
    (num_classes, channels), starts as the gain and shift of the given norm: 1 and 0, unless initialized otherwise. The
    gain is "gain[y]", not "1 + gain[y]". Input and output are (n, channels) or (n, channels, h, w) in one dtype.

    The labels come from `labels_for`, so that a network need not pass them from layer to layer.

    Args:
        norm: Batch norm used for the normalization, with its running statistics and epsilon; its own gain and shift are
            removed.
        num_classes: Number of labels.
    """

    averaged: ClassVar[str] = "gains and shifts of the batch norms"

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, num_classes: int) -> None:
        super().__init__()
        gain = torch.ones(norm.num_features) if norm.weight is None else norm.weight.detach()
        shift = torch.zeros(norm.num_features) if norm.bias is None else norm.bias.detach()
        self.gain = nn.Parameter(gain.repeat(num_classes, 1))  # (num_classes, channels)
        self.shift = nn.Parameter(shift.repeat(num_classes, 1))
        norm.register_parameter("weight", None)
        norm.register_parameter("bias", None)
        norm.affine = False
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Normalized x, with the gain and shift of each sample's label.

        Raises:
            ValueError: There are no labels, because the call is outside `labels_for`.
        """
        labels = self.required_labels()
        ones = [1] * (x.dim() - 2)
        gain = rows_of_labels(self.gain, labels).unflatten(1, (-1, *ones))  # (n, channels) or (n, channels, 1, 1)
        shift = rows_of_labels(self.shift, labels).unflatten(1, (-1, *ones))
        return (self.norm(x) * gain + shift).to(x.dtype)  # float32 tables would promote half-precision activations
