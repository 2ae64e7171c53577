"""The data set `dataset=skeleton`."""

import numpy as np
import torch

from gan_lab.data.raw import NumberedNames, RawImages


def read_skeleton(source: str, count: int = 512) -> RawImages:
    """Read the images before they are resized. An example: discs and squares, drawn here.

    Args:
        source: Folder or name of the images, `dataset.source`.
        count: Number of images, a key of the YAML file.

    Returns:
        The images, each as uint8 (H, W) or (H, W, 3), as encoded bytes or as the `Path` of a file; a name for each, for
        messages; labels int64 (n,) and the names of the classes, or None.
    """
    labels = torch.arange(count) % 2
    images = [_draw(np.random.default_rng(number), round_shape=number % 2 == 0) for number in range(count)]
    return RawImages(images, NumberedNames(source, count), labels, ["disc", "square"])


def _draw(random: np.random.Generator, round_shape: bool) -> np.ndarray:
    """A white shape on black, uint8 (32, 32)."""
    center, radius = random.uniform(10, 22, size=2), random.uniform(4, 9)
    distance = np.abs(np.indices((32, 32)) - center[:, None, None])
    inside = np.hypot(*distance) < radius if round_shape else distance.max(0) < radius
    return np.uint8(255) * inside.astype(np.uint8)
