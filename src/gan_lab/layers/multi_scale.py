"""Images at all scales at once, for the networks of MSG-GAN (Karnewar & Wang, 2020).

A sample at all scales is one tensor: the pixels of its images concatenated, the smallest image first. So formulas for
samples apply to all scales at once. A gradient penalty interpolates with one random number for all scales of a sample,
and its squared gradient norm is the sum over scales.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST = 4
"""Resolution of the smallest image."""


class MultiScale(nn.Module):
    """Base of networks that generate or score images at all resolutions 4x4, 8x8, ..., up to the full one.

    Args:
        resolution: Full resolution of the images, a power of two, at least 4.
    """

    def __init__(self, resolution: int) -> None:
        super().__init__()
        self.resolutions = [SMALLEST * 2**k for k in range((resolution // SMALLEST).bit_length())]


def multi_scale_networks(network: nn.Module) -> list[MultiScale]:
    """All multi-scale networks among a network and its submodules, for instance inside a wrapper."""
    return [module for module in network.modules() if isinstance(module, MultiScale)]


def pack_scales(images: Sequence[Tensor]) -> Tensor:
    """Concatenate images (n, C, s, s) of several resolutions s to one tensor (n, C, sum of s²)."""
    return torch.cat([image.flatten(2) for image in images], 2)


def unpack_scales(packed: Tensor, resolutions: Sequence[int]) -> list[Tensor]:
    """Inverse of `pack_scales`: images (n, C, s, s) of these resolutions s."""
    parts = packed.split([resolution * resolution for resolution in resolutions], 2)
    return [part.unflatten(2, (resolution, resolution)) for part, resolution in zip(parts, resolutions, strict=True)]


def image_pyramid(images: Tensor, resolutions: Sequence[int]) -> list[Tensor]:
    """Images (n, C, R, R) average-pooled to each resolution; R is a multiple of each."""
    return [F.avg_pool2d(images, images.shape[-1] // resolution) for resolution in resolutions]
