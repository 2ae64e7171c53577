"""Images in a format of your own: a reader returns them, the data module does the rest.

python examples/own_dataset.py
"""

import numpy as np
import torch

import gan_lab
from gan_lab.data.raw import NumberedNames, RawImages


def read_npz(source):
    """Read `images` uint8 (N, H, W) and `labels` int64 (N,) from an .npz file."""
    with np.load(source) as arrays:
        images, labels = arrays["images"], torch.from_numpy(arrays["labels"])
    return RawImages(images, NumberedNames(source, len(images)), labels)


def write_squares(file, count=256):
    """Write gray images of 16x16 pixels with a square of one of four sizes, which is the label."""
    labels = np.arange(count) % 4
    images = np.zeros((count, 16, 16), np.uint8)
    for image, size in zip(images, 4 + 2 * labels, strict=True):
        image[2 : 2 + size, 2 : 2 + size] = 255
    np.savez(file, images=images, labels=labels)


if __name__ == "__main__":
    write_squares("squares.npz")
    config = gan_lab.compose(
        "model=acgan",
        "dataset=image_folder",
        "dataset.source=squares.npz",
        "dataset.resolution=16",
        "dataset.channels=1",
        "dataset.num_classes=4",
        "budget.images=512",
        allow_targets=["own_dataset"],
        **{"dataset.reader": {"_target_": "own_dataset.read_npz", "_partial_": True}},
    )
    experiment = gan_lab.fit(config)
    squares = gan_lab.load(config.run.dir).sample(4, condition=3)
    print(f"{experiment.module.images_seen} images seen, samples of class 3: {tuple(squares.shape)}")
