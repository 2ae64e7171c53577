"""Minibatch standard deviation."""

from math import gcd

import torch
from torch import Tensor, nn

EPSILON = 1e-8


class MinibatchStddev(nn.Module):
    """Appends how much the samples of a group differ, as one more channel (Karras et al., 2018, §3).

    For each feature (and pixel) the population standard deviation over the group, sqrt(variance + 1e-8), averaged over all
    of them to one scalar. A group is samples that follow each other; the authors' code takes every (n / group)-th sample.
    The paper has the whole batch as one group, its TensorFlow code groups of 4. Where `group` does not divide the batch,
    their greatest common divisor is used.

    The layer lets each logit depend on its group, and yet has no `mixes_samples`: ProGAN and StyleGAN2 penalize gradients
    with it, and take the sum over a group for the sample's own.

    Input (n, channels, h, w) or (n, features); output one channel or feature more.

    Args:
        group: Samples in a group; None for the whole batch.

    Raises:
        ValueError: `group` is below 1.
    """

    def __init__(self, group: int | None = 4) -> None:
        super().__init__()
        if group is not None and group < 1:
            raise ValueError(
                f"wrapper.discriminator.minibatch.group must be at least 1, or null for the whole batch, not {group}"
            )
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """x (n, c, ...) with the group's mean standard deviation appended: (n, c + 1, ...)."""
        size = len(x) if self.group is None else gcd(self.group, len(x))
        wide = x.to(torch.promote_types(x.dtype, torch.float32))  # squares of half precision lose too much
        groups = wide.unflatten(0, (-1, size))  # (n / size, size, c, ...)
        stddev = (groups.var(1, unbiased=False) + EPSILON).sqrt().flatten(1).mean(1)  # (n / size,)
        column = stddev.repeat_interleave(size, output_size=len(x)).to(x.dtype)  # (n,)
        channel = column.view(-1, *[1] * (x.dim() - 1)).expand(-1, 1, *x.shape[2:])  # (n, 1, ...)
        return torch.cat([x, channel], 1)
