"""Writes a prepared pyramid, and goes on where an interrupted run stopped."""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gan_lab.data.content import fingerprint
from gan_lab.data.decode import Decoder
from gan_lab.data.pyramid import DESCRIPTION, LABELS, NAMES, Pyramid, array_file, read_description, smaller_images
from gan_lab.data.raw import RawImages
from gan_lab.errors import DataError

_PROGRESS = "progress.json"
_BLOCK_BYTES = 1 << 28  # of full-size pixels between two records of progress, and in memory at a time
_LARGEST_BLOCK = 4096  # images

Images = dict[int, Tensor]
"""Side to one image of that side, uint8 (C, side, side)."""


def prepare(
    raw: RawImages, decoder: Decoder, sides: Sequence[int], folder: Path, source: str, on_error: str = "stop"
) -> Pyramid:
    """Decode each image once, and write it at every side.

    All is written to `<folder>.unfinished`, which takes its final name when it is whole. The same call again continues after
    the last block of images that is on the disk for certain, or finds that all is done.

    Args:
        raw: The images.
        decoder: Makes each a square of the full resolution.
        sides: The resolutions to keep, each the full one halved some times.
        folder: Where the pyramid goes.
        source: What the images are called in the description.
        on_error: "stop" at an unreadable image, or "skip" it.

    Raises:
        DataError: The folder holds something else, an image cannot be read and `on_error` is "stop", or none can be read.
        OSError: The disk is full or cannot be written.
    """
    pyramid = Pyramid(
        source=source,
        content=fingerprint(raw, decoder),
        decoder=asdict(decoder),
        resolutions=sorted(sides),
        count=len(raw),
        classes=None if raw.classes is None else list(raw.classes),
        split=raw.split,
    )
    if _holds(folder, pyramid):
        return read_description(str(folder))
    work = _Work.begun(folder.with_name(f"{folder.name}.unfinished"), pyramid)
    work.write_images(raw, decoder, on_error)
    return work.finish(raw, folder)


def _holds(folder: Path, pyramid: Pyramid) -> bool:
    """Whether the pyramid is there already; refuses a folder of something else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not (folder / DESCRIPTION).is_file():
        raise DataError(f"out={folder} is there already and is no prepared data set: give another name.")
    if not read_description(str(folder)).is_made_of(pyramid):
        raise DataError(
            f"out={folder} holds a data set of another source or other settings: delete it, or give another name."
        )
    return True


@dataclass
class _Work:
    """A pyramid that is being written.

    Args:
        folder: Where its files are.
        pyramid: What it is to be; `skipped` grows.
        done: Images that are on the disk for certain, at every side.
    """

    folder: Path
    pyramid: Pyramid
    done: int = 0

    @classmethod
    def begun(cls, folder: Path, pyramid: Pyramid) -> "_Work":
        """What an interrupted run left, or empty arrays."""
        if (folder / _PROGRESS).is_file():
            record = json.loads((folder / _PROGRESS).read_text())
            skipped = {int(row): name for row, name in record["pyramid"].pop("skipped").items()}
            work = cls(folder, Pyramid(**record["pyramid"], skipped=skipped), record["done"])
            if not work.pyramid.is_made_of(pyramid):
                raise DataError(
                    f"{folder} was begun with another source or other settings: delete it, or give another name for out."
                )
            return work
        folder.mkdir(parents=True, exist_ok=True)
        for side in pyramid.resolutions:
            with array_file(folder, side).open("wb") as file:
                header = {"descr": "|u1", "fortran_order": False, "shape": pyramid.shape(side)}
                np.lib.format.write_array_header_1_0(file, header)
        work = cls(folder, pyramid)
        work.record()
        return work

    def record(self) -> None:
        """Note how far the work is. The old record is replaced by a whole one, never by a part."""
        new = self.folder / f"{_PROGRESS}.new"
        with new.open("w") as file:
            json.dump({"done": self.done, "pyramid": asdict(self.pyramid)}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.folder / _PROGRESS)

    def write_images(self, raw: RawImages, decoder: Decoder, on_error: str) -> None:
        """Decode in a few threads and write, from image `done` on, with a record after every block."""
        from tqdm import tqdm

        size = _BLOCK_BYTES // (decoder.channels * decoder.resolution**2)
        size = min(max(1, size), _LARGEST_BLOCK)
        sides = self.pyramid.resolutions
        pool = ThreadPoolExecutor(min(32, max(2, os.cpu_count() or 1)))
        try:
            with tqdm(total=len(raw), initial=self.done, desc="Preparing images", unit="image", mininterval=1) as bar:
                for first in range(self.done, len(raw), size):
                    block = range(first, min(first + size, len(raw)))
                    found = list(pool.map(lambda position: _made(raw, position, decoder, sides), block))
                    self._write_block(first, list(self._usable(raw, first, found, on_error)))
                    bar.update(len(block))
        finally:
            pool.shutdown(cancel_futures=True)

    def _usable(
        self, raw: RawImages, first: int, found: list[Images | DataError], on_error: str
    ) -> Iterator[Images | None]:
        """The images of a block, None for those that are skipped, of which it takes note."""
        for row, images in enumerate(found, first):
            if isinstance(images, DataError):
                if on_error == "stop":
                    raise images
                self.pyramid.skipped[row] = raw.name(row)
                yield None
            else:
                yield images

    def _write_block(self, first: int, block: list[Images | None]) -> None:
        for side in self.pyramid.resolutions:
            empty = torch.zeros(self.pyramid.shape(side)[1:], dtype=torch.uint8)
            pixels = torch.stack([empty if images is None else images[side] for images in block]).numpy()
            with array_file(self.folder, side).open("r+b") as file:
                np.lib.format.read_magic(file)
                np.lib.format.read_array_header_1_0(file)  # leaves the file where the first image begins
                file.seek(first * empty.numel(), os.SEEK_CUR)
                file.write(pixels.tobytes())
                file.flush()
                os.fsync(file.fileno())
        self.done = first + len(block)
        self.record()

    def finish(self, raw: RawImages, folder: Path) -> Pyramid:
        """Add what is beside the images, and give the folder its name."""
        if len(self.pyramid.skipped) == len(raw):
            raise DataError(f"None of the {len(raw)} images of {self.pyramid.source} can be used.")
        if raw.labels is not None:
            np.save(self.folder / LABELS, raw.labels.numpy())
        (self.folder / NAMES).write_text(json.dumps([raw.name(position) for position in range(len(raw))]))
        self.pyramid.write(self.folder / DESCRIPTION)
        if folder.is_dir():
            folder.rmdir()  # empty: some systems give no folder the name of another
        os.replace(self.folder, folder)
        (folder / _PROGRESS).unlink()
        return self.pyramid


def _made(raw: RawImages, position: int, decoder: Decoder, sides: Sequence[int]) -> Images | DataError:
    """One image at all sides, or why it cannot be read."""
    try:
        return smaller_images(decoder(raw, position), sides)
    except DataError as error:
        return error
