"""The 1,797 handwritten 8x8 digits that scikit-learn ships."""

import numpy as np
import torch

from gan_lab.data.raw import NumberedNames, RawImages
from gan_lab.errors import ConfigError

SOURCE = "scikit-learn"


def read_digits(source: str = SOURCE) -> RawImages:
    """scikit-learn's `load_digits`: 8x8 gray images with labels 0 to 9; nothing is downloaded.

    Args:
        source: Only `scikit-learn`; the name of the set in messages.

    Raises:
        ConfigError: It is another source, whose images would not be used.
    """
    if source != SOURCE:
        raise ConfigError(
            f"dataset.source={source} has no effect on these digits, which come with scikit-learn; give a data set as "
            "well, as in dataset=image_folder."
        )
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)  # stored as 0..16
    labels = torch.from_numpy(digits.target.astype(np.int64))
    return RawImages(pixels, NumberedNames(source, len(pixels)), labels, [str(digit) for digit in range(10)])
