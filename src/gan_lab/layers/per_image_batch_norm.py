"""Batch norm with the statistics of each image in evaluation mode."""

import torch.nn.functional as F
from torch import Tensor, nn


class PerImageBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` without running statistics: in evaluation mode, those of each image.

    pix2pix is trained and tested in batches of one with the statistics of the batch (Isola et al., 2017, section 3.3).
    So an output does not depend on the other images of its batch.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalized x, (n, c, h, w), of more than one pixel."""
        if self.training:
            return super().forward(x)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)
