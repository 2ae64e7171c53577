"""Laplacian pyramids: an image as a coarse image and the differences that make it finer (Burt & Adelson, 1983)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

UPSAMPLINGS = ("bilinear", "nearest")


@dataclass(frozen=True)
class LaplacianPyramid:
    """Laplacian pyramid with levels 0, the image I_0, to K, the coarsest image I_K: I_{k+1} = d(I_k).

    The difference of a level k < K is h_k = I_k - u(I_{k+1}), and h_K = I_K. So I_k = u(I_{k+1}) + h_k, for any d and
    u. Here d is adaptive average pooling, the mean over 2x2 pixels if a side is halved, and u an interpolation. With
    nearest-neighbor interpolation and halved sides d(u(x)) = x, so the mean of a difference over every 2x2 pixels is 0.

    Args:
        sides: Side of the images of each level in pixels, the finest first.
        upsampling: u: `bilinear` or `nearest`.

    Raises:
        ValueError: The upsampling is not known.
    """

    sides: Sequence[int]
    upsampling: str = "bilinear"

    def __post_init__(self) -> None:
        if self.upsampling not in UPSAMPLINGS:
            raise ValueError(f"upsampling must be {' or '.join(UPSAMPLINGS)}, not {self.upsampling!r}")

    @property
    def coarsest(self) -> int:
        """K, the number of the coarsest level."""
        return len(self.sides) - 1

    def images(self, images: Tensor) -> list[Tensor]:
        """I_0, ..., I_K of images (n, C, side, side)."""
        found = [images]
        for side in self.sides[1:]:
            found.append(F.adaptive_avg_pool2d(found[-1], side))
        return found

    def enlarged(self, images: Tensor, level: int) -> Tensor:
        """u(I_{k+1}) at the level k of images I_{k+1}, (n, C, side, side)."""
        side, mode = self.sides[level], self.upsampling
        return F.interpolate(images, size=(side, side), mode=mode, align_corners=None if mode == "nearest" else False)

    def coarse(self, images: Tensor, level: int) -> Tensor:
        """u(d(I_k)) of images I_k of a level k < K."""
        return self.enlarged(F.adaptive_avg_pool2d(images, self.sides[level + 1]), level)

    def differences(self, images: Tensor) -> list[Tensor]:
        """h_0, ..., h_K of images (n, C, side, side)."""
        found = self.images(images)
        return [
            image if level == self.coarsest else image - self.enlarged(found[level + 1], level)
            for level, image in enumerate(found)
        ]
