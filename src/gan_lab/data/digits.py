"""The 1,797 handwritten 8x8 digits that scikit-learn ships."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

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
    table = _table()
    pixels = np.round(table[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)  # stored as 0..16
    labels = torch.from_numpy(table[:, -1].astype(np.int64))
    return RawImages(pixels, NumberedNames(source, len(pixels)), labels, [str(digit) for digit in range(10)])


@cache
def _table() -> NDArray[np.float64]:
    """The 64 pixels and the label of each digit, (1797, 65).

    The file is read without scikit-learn's `load_digits`, whose import would be an eighth of the start of a run.
    """
    package = find_spec("sklearn")
    assert package is not None and package.origin is not None  # a dependency
    return np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
