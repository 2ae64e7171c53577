"""Minibatch standard deviation layer."""

from math import gcd

import torch
from torch import Tensor, nn

EPSILON = 1e-8


class MinibatchStddev(nn.Module):
    """Append the standard deviation within a group of samples as one more channel (Karras et al., 2018, §3).

    For each feature (and pixel) the population standard deviation over the group, sqrt(variance + 1e-8), averaged over
    all of them to one scalar. A group is consecutive samples, or, as in the authors' code, every (n / group)-th sample:
    the same for batches in random order. In the paper the entire batch is one group, in its TensorFlow code groups have
    4 samples. If `group` does not divide the batch size, their greatest common divisor is used.

    Each logit depends on its group, but `mixes_samples` is not set: ProGAN and StyleGAN2 use gradient penalties with
    this layer, and treat the gradient of a group's sum as that of the sample's own logit.

    Input (n, channels, h, w) or (n, features); output with one more channel or feature.

    Args:
        group: Samples in a group; None for the entire batch.
        interleaved: A group is every (n / group)-th sample, and not consecutive ones.

    Raises:
        ValueError: `group` is below 1.
    """

    def __init__(self, group: int | None = 4, interleaved: bool = False) -> None:
        super().__init__()
        if group is not None and group < 1:
            raise ValueError(
                f"wrapper.discriminator.minibatch.group must be at least 1, or null for the entire batch, not {group}"
            )
        self.group = group
        self.interleaved = interleaved

    def forward(self, x: Tensor) -> Tensor:
        """x (n, c, ...) with the group's mean standard deviation appended: (n, c + 1, ...)."""
        size = len(x) if self.group is None else gcd(self.group, len(x))
        wide = x.to(torch.promote_types(x.dtype, torch.float32))  # half-precision squares are too inaccurate
        members = 0 if self.interleaved else 1  # dimension of the samples of a group
        groups = wide.unflatten(0, (size, -1) if self.interleaved else (-1, size))
        stddev = (groups.var(members, unbiased=False) + EPSILON).sqrt().flatten(1).mean(1)  # (n / size,)
        column = stddev.repeat(size) if self.interleaved else stddev.repeat_interleave(size, output_size=len(x))
        channel = column.to(x.dtype).view(-1, *[1] * (x.dim() - 1)).expand(-1, 1, *x.shape[2:])  # (n, 1, ...)
        return torch.cat([x, channel], 1)
