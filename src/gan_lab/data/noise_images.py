"""Random images of any size, for measuring speed and testing a machine without data."""

import numpy as np
import torch

from gan_lab.data.arguments import check_at_least
from gan_lab.data.raw import NumberedNames, RawImages


class _NoiseImages:
    """Random pixels, uint8 (resolution, resolution, 3), each image a function of its position."""

    def __init__(self, count: int, resolution: int) -> None:
        self.count = count
        self.resolution = resolution

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int, /) -> np.ndarray:
        return np.random.default_rng(position).integers(256, size=(self.resolution, self.resolution, 3), dtype=np.uint8)


def read_noise(source: str, count: int, resolution: int, classes: int | None = None) -> RawImages:
    """Images of independent uniform pixels.

    Args:
        source: Name of the set in messages.
        count: Number of images.
        resolution: Width and height of the images in pixels.
        classes: Number of classes, assigned to the images cyclically; None for no labels.

    Raises:
        ConfigError: A number is not allowed.
    """
    check_at_least("dataset.reader.count", count, 1)
    check_at_least("dataset.reader.resolution", resolution, 1)
    labels = None if classes is None else torch.arange(count) % classes
    names = None if classes is None else [str(number) for number in range(classes)]
    return RawImages(_NoiseImages(count, resolution), NumberedNames(source, count), labels, names)
