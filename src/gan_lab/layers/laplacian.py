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
    u. Here d is adaptive average pooling, the mean over 2x2 pixels if a resolution is halved, and u an interpolation.
    With nearest-neighbor interpolation and halved resolutions d(u(x)) = x, so the mean of a difference over every 2x2
    pixels is 0.

    Args:
        resolutions: Of the images of each level, the finest first.
        upsampling: u: `bilinear` or `nearest`.

    Raises:
        ValueError: The upsampling is not known.
    """

    resolutions: Sequence[int]
    upsampling: str = "bilinear"

    def __post_init__(self) -> None:
        if self.upsampling not in UPSAMPLINGS:
            raise ValueError(f"upsampling must be {' or '.join(UPSAMPLINGS)}, not {self.upsampling!r}")

    @property
    def coarsest(self) -> int:
        """K, the number of the coarsest level."""
        return len(self.resolutions) - 1

    def images(self, images: Tensor) -> list[Tensor]:
        """I_0, ..., I_K of images (n, C, s, s)."""
        found = [images]
        for resolution in self.resolutions[1:]:
            found.append(F.adaptive_avg_pool2d(found[-1], resolution))
        return found

    def enlarged(self, images: Tensor, level: int) -> Tensor:
        """u(I_{k+1}) at the level k of images I_{k+1}, (n, C, s, s)."""
        resolution, corners = self.resolutions[level], None if self.upsampling == "nearest" else False
        return F.interpolate(images, (resolution, resolution), mode=self.upsampling, align_corners=corners)

    def coarse(self, images: Tensor, level: int) -> Tensor:
        """u(d(I_k)) of images I_k of a level k < K."""
        return self.enlarged(F.adaptive_avg_pool2d(images, self.resolutions[level + 1]), level)

    def differences(self, images: Tensor) -> list[Tensor]:
        """h_0, ..., h_K of images (n, C, s, s)."""
        found = self.images(images)
        return [
            image if level == self.coarsest else image - self.enlarged(found[level + 1], level)
            for level, image in enumerate(found)
        ]
