"""Parts of large files as the items of an image set, each read when it is used."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np


class FileSlices:
    """Slices of files, as a sequence of bytes.

    Each read opens the file, so threads and worker processes share no position.

    Args:
        files: The files.
        numbers: Position of each slice's file in `files`, integers (N,).
        offsets: Byte at which each slice begins, int64 (N,).
        sizes: Number of bytes of each slice, int64 (N,).
    """

    def __init__(self, files: Sequence[Path], numbers: np.ndarray, offsets: np.ndarray, sizes: np.ndarray) -> None:
        self.files = list(files)
        self.numbers = numbers
        self.offsets = offsets
        self.sizes = sizes

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, position: int, /) -> bytes:
        with self.files[self.numbers[position]].open("rb") as file:
            file.seek(int(self.offsets[position]))
            content = file.read(int(self.sizes[position]))
        if len(content) != self.sizes[position]:
            raise ValueError(f"{self.files[self.numbers[position]]} ends before it")
        return content

    def file_size(self, position: int) -> int:
        """Number of bytes of a slice, which is not read."""
        return int(self.sizes[position])


class PixelRecords:
    """Records of equal length, as a sequence of images of uint8 (H, W, 3).

    Args:
        files: The files, which contain nothing but records.
        counts: Number of records in each of them.
        record_bytes: Length of a record.
        skipped: Bytes at the beginning of each record that are not pixels.
        shape: Shape of the pixels in the file.
        axes: Order of these axes as (H, W, 3).
    """

    def __init__(
        self,
        files: Sequence[Path],
        counts: Sequence[int],
        record_bytes: int,
        shape: tuple[int, int, int],
        axes: tuple[int, int, int],
        skipped: int = 0,
    ) -> None:
        numbers = np.repeat(np.arange(len(files)), counts)
        first = np.concatenate([np.arange(count) for count in counts]) if len(counts) else np.arange(0)
        sizes = np.full(len(numbers), record_bytes - skipped)
        self.slices = FileSlices(files, numbers, first * record_bytes + skipped, sizes)
        self.shape = shape
        self.axes = axes

    def __len__(self) -> int:
        return len(self.slices)

    def __getitem__(self, position: int, /) -> np.ndarray:
        return np.frombuffer(self.slices[position], np.uint8).reshape(self.shape).transpose(self.axes)
