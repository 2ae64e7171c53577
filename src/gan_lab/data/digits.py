"""The 1,797 handwritten 8x8 digits that scikit-learn ships."""

import numpy as np
import torch

from gan_lab.data.raw import NumberedNames, RawImages


def read_digits(source: str = "scikit-learn") -> RawImages:
    """scikit-learn's `load_digits`: 8x8 gray images with labels 0 to 9; nothing is downloaded.

    Args:
        source: Name of the set in messages; the images always come from the installed scikit-learn.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)  # stored as 0..16
    labels = torch.from_numpy(digits.target.astype(np.int64))
    return RawImages(pixels, NumberedNames(source, len(pixels)), labels, [str(digit) for digit in range(10)])
