"""Reader of the files of SVHN: cropped digits in MATLAB's format."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from gan_lab.data.raw import NumberedNames, RawImages
from gan_lab.data.splits import Part, unknown_split
from gan_lab.errors import DataError, is_out_of_memory

SIZE = 32
"""Width and height of the images in pixels."""

MAX_IMAGES = 1_000_000
"""Most images in a file that are read; the largest, of the extra images, has 531,131."""


def has_svhn(folder: Path) -> bool:
    """Whether a folder has a file of any split."""
    return any(folder.glob("*_32x32.mat"))


def read_svhn(folder: Path, part: Part) -> RawImages:
    """Read `train_32x32.mat`, `test_32x32.mat` or `extra_32x32.mat`, with the digits as labels.

    Raises:
        DataError: There is no file of the split, or it is truncated, damaged or a different one.
    """
    file = folder / f"{part.split}_32x32.mat"
    if not file.is_file():
        raise unknown_split(part, folder, [path.name.partition("_")[0] for path in folder.glob("*_32x32.mat")])
    pixels, labels = _variables(file)
    if not labels.size or labels.min() < 1 or labels.max() > 10:
        raise DataError(f"{file} has labels that are not from 1 to 10, so it is not a file of SVHN.")
    # The file has the digit 0 as class 10. The transposed array is a view: an image is contiguous in memory.
    digits = torch.from_numpy(labels.reshape(-1).astype(np.int64) % 10)
    names = NumberedNames(f"{folder} ({part.split})", len(digits))
    return RawImages(pixels.transpose(3, 0, 1, 2), names, digits, split=part.split)


def _variables(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels uint8 (32, 32, 3, N) and labels (N, 1) with values from 1 to 10."""
    from scipy import io

    try:
        shapes = {name: (shape, kind) for name, shape, kind in io.whosmat(file)}  # before any pixel is read
        _check(shapes, file)
        content: dict[str, Any] = io.loadmat(file, variable_names=["X", "y"])
        return content["X"], content["y"]
    except DataError:
        raise
    except Exception as error:  # scipy's readers raise many types for damaged files
        if is_out_of_memory(error):
            raise
        raise DataError(f"{file} cannot be read: it is truncated, damaged, or not a file of MATLAB 5.") from error


def _check(shapes: dict[str, tuple[tuple[int, ...], str]], file: Path) -> None:
    shape, kind = shapes.get("X", ((), ""))
    labels, _ = shapes.get("y", ((), ""))
    count = shape[-1] if len(shape) == 4 else 0
    if kind != "uint8" or shape[:3] != (SIZE, SIZE, 3) or labels != (count, 1) or not 0 < count <= MAX_IMAGES:
        found = ", ".join(f"{name} of shape {shape}" for name, (shape, _) in list(shapes.items())[:10])
        raise DataError(
            f"{file} is truncated or not a file of SVHN: it has {found or 'no variables'}, where X of shape "
            "(32, 32, 3, N) and y of shape (N, 1) must be."
        )
