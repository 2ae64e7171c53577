"""Types that all packages of gan_lab exchange. Imports torch, but nothing from this project."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Critic = Callable[[Tensor], Tensor]
"""Maps samples (n, ...) to logits (n, ...), with network, condition and augmentation fixed."""

Terms = dict[str, Tensor]
"""Loss terms of a phase: weighted scalar tensors by name; their sum is minimized."""

Record = dict[str, list[Tensor]]
"""Logged values of one batch: detached scalars by log key, one for each evaluation."""


Batch = dict[str, Tensor]
"""One batch of real data on the device, as the data module returns it; all tensors have n rows.

`image` is float32 in [-1, 1], (n, C, H, W), or (n, C) for points; `label` int64 (n,); `index` int64 (n,), the position
in the data set. Image-to-image translation adds `source`, the images to translate, float32 in [-1, 1]
(n, C_source, H, W); data sets for other special algorithms may add other keys.
"""


@dataclass(frozen=True)
class DataSpec:
    """Shape of a data set: images of `channels` x `resolution` x `resolution`, or points with `channels` coordinates.

    Args:
        channels: 1 gray, 3 RGB, 4 RGBA; for points, the number of coordinates.
        resolution: In pixels, or None for points.
        num_classes: Number of classes, or None without labels.
        source_channels: Channels of the source images of image-to-image translation; None without sources.
    """

    channels: int
    resolution: int | None
    num_classes: int | None = None
    source_channels: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return (self.channels,) if self.resolution is None else (self.channels, self.resolution, self.resolution)


@dataclass(frozen=True)
class Stage:
    """Current resolution of growing networks, which begins small and doubles repeatedly.

    Args:
        resolution: Of the images that the networks generate and score now, in pixels.
        alpha: Weight in [0, 1] of the layers of this resolution during their fade-in; 1 afterwards.
    """

    resolution: int
    alpha: float = 1.0
