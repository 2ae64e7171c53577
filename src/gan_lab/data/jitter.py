"""Random crop of enlarged images, and random mirror, as in pix2pix and CycleGAN."""

from dataclasses import dataclass

from torch import Tensor

from gan_lab.data.pixels import crop_at, flip_coin, flip_where, random_offsets
from gan_lab.errors import ConfigError
from gan_lab.noise import mix

TOP, LEFT = 1, 2
"""Numbers of the random offsets, for their keys."""


@dataclass(frozen=True)
class Jitter:
    """Random crop and mirror of images that were enlarged: a function of the key and the position in the data set.

    Args:
        resolution: Of the result in pixels.
        factor: By which the images are enlarged before; None for no crop.
        flip: Mirror with probability 1/2.

    Raises:
        ConfigError: The factor is not a number from 1 to 2.
    """

    resolution: int
    factor: float | None
    flip: bool

    def __post_init__(self) -> None:
        if self.factor is not None and not 1 <= self.factor <= 2:
            raise ConfigError(
                f"dataset.jitter={self.factor} is not allowed; give a factor from 1 to 2, such as 1.117 for 286 of 256 "
                "pixels, or null for no random crop."
            )

    @property
    def enlarged(self) -> int:
        """Resolution of the images before the crop in pixels."""
        return round(self.resolution * (self.factor or 1))

    def __call__(self, images: Tensor, index: Tensor, key: int) -> Tensor:
        """Crop and mirror images (n, C, H, W) of the enlarged resolution.

        Args:
            images: The images.
            index: Positions in the data set, int64 (n,).
            key: Key of the random numbers, for instance `mix(seed, epoch)`.

        Returns:
            Images (n, C, resolution, resolution).
        """
        offsets = self.enlarged - self.resolution + 1
        if offsets > 1:
            top, left = (random_offsets(index, mix(key, number), offsets) for number in (TOP, LEFT))
            images = crop_at(images, top, left, self.resolution)
        return flip_where(images, flip_coin(index, key)) if self.flip else images
