"""Random images of any size, for measuring speed and trying a machine before any data are there."""

import numpy as np
import torch

from gan_lab.data.arguments import check_at_least
from gan_lab.data.raw import NumberedNames, RawImages


class _NoiseImages:
    """Random pixels, uint8 (side, side, 3), each image a function of its position."""

    def __init__(self, count: int, side: int) -> None:
        self.count = count
        self.side = side

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int, /) -> np.ndarray:
        return np.random.default_rng(position).integers(256, size=(self.side, self.side, 3), dtype=np.uint8)


def read_noise(source: str, count: int, side: int, classes: int | None = None) -> RawImages:
    """Images of independent uniform pixels.

    Args:
        source: Only the name of the set in messages.
        count: Number of images.
        side: Of the images, in pixels.
        classes: Number of labels, which the images have in turn; None for none.

    Raises:
        ConfigError: A number is not allowed.
    """
    check_at_least("dataset.reader.count", count, 1)
    check_at_least("dataset.reader.side", side, 1)
    labels = None if classes is None else torch.arange(count) % classes
    names = None if classes is None else [str(number) for number in range(classes)]
    return RawImages(_NoiseImages(count, side), NumberedNames(source, count), labels, names)
