"""Images at all scales at once, as MSG-GAN's networks draw and judge them (Karnewar & Wang, 2020).

A game holds a sample at all scales as one tensor: the pixels of its images in a row, the smallest image first. So whatever
is a formula in samples is one in all of their scales. A gradient penalty takes points between real and generated samples
with one random number for all scales of a sample, and sums the squares of the gradient over them.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST = 4
"""Side of the smallest image."""


class MultiScale(nn.Module):
    """A network that draws or judges images at all sides from 4x4 by doubling up to its full one.

    Args:
        resolution: Full side of the images, a power of two from 4 on.
    """

    def __init__(self, resolution: int) -> None:
        super().__init__()
        self.sides = [SMALLEST * 2**k for k in range((resolution // SMALLEST).bit_length())]


def multi_scale_parts(network: nn.Module) -> list[MultiScale]:
    """The network itself or what is such a network inside it, as inside a wrapper."""
    return [part for part in network.modules() if isinstance(part, MultiScale)]


def in_a_row(images: Sequence[Tensor]) -> Tensor:
    """Images (n, C, s, s) of several sides as one tensor (n, C, sum of s²)."""
    return torch.cat([image.flatten(2) for image in images], 2)


def apart(row: Tensor, sides: Sequence[int]) -> list[Tensor]:
    """What `in_a_row` joined: images (n, C, s, s) of these sides."""
    parts = row.split([side * side for side in sides], 2)
    return [part.unflatten(2, (side, side)) for part, side in zip(parts, sides, strict=True)]


def at_all_scales(images: Tensor, sides: Sequence[int]) -> list[Tensor]:
    """Images (n, C, R, R) at each of the sides, by means of squares of pixels; R a multiple of each side."""
    return [F.avg_pool2d(images, images.shape[-1] // side) for side in sides]
