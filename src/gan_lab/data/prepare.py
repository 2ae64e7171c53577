"""Writer of prepared pyramids, which resumes after an interruption."""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from gan_lab.data.content import fingerprint
from gan_lab.data.decode import Decoder, refused
from gan_lab.data.pyramid import DESCRIPTION, LABELS, NAMES, Pyramid, array_file, read_description, smaller_images
from gan_lab.data.raw import RawImages, UnusableImage
from gan_lab.errors import DataError
from gan_lab.files import read_text, write_text

_PROGRESS = "progress.json"
_BLOCK_BYTES = 1 << 28  # of full-size pixels in memory, and between two progress records

Images = dict[int, Tensor]
"""From resolution to the image at this resolution, uint8 (C, resolution, resolution)."""


def prepare(
    raw: RawImages,
    decoder: Decoder,
    resolutions: Sequence[int],
    folder: Path,
    source: str,
    on_error: str = "stop",
    largest_block: int = 4096,
) -> Pyramid:
    """Decode each image once and write it at every resolution.

    The files are written to `<folder>.unfinished`, which is renamed to `folder` when it is complete. After an
    interruption, the same call continues after the last block of images that is durable on disk. It returns the
    existing description if the pyramid is complete.

    Args:
        raw: The images.
        decoder: Decoder to squares of the full resolution.
        resolutions: Resolutions to write, each the full one divided by a power of two.
        folder: Folder of the pyramid.
        source: Name of the images in the description.
        on_error: "stop" at an unreadable image, or "skip" it.
        largest_block: Largest number of images between two progress records, at least 1; fewer if they are large.

    Raises:
        DataError: The folder has other contents or is being written by another process, an image cannot be read and
            `on_error` is "stop", or no image can.
        OSError: The disk is full or cannot be written.
    """
    pyramid = Pyramid(
        source=source,
        content=fingerprint(raw, decoder),
        decoder=asdict(decoder),
        resolutions=sorted(resolutions),
        count=len(raw),
        classes=None if raw.classes is None else list(raw.classes),
        split=raw.split,
    )
    if _is_complete(folder, pyramid):
        return read_description(str(folder))
    with _locked(folder):
        if _is_complete(folder, pyramid):  # another process has written it in the meantime
            return read_description(str(folder))
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        try:
            writer = _PyramidWriter.resume_or_start(unfinished, pyramid)
            writer.write_images(raw, decoder, on_error, largest_block)
            return writer.finish(raw, folder)
        except OSError as error:
            error.filename = error.filename or str(unfinished)  # a failed write has none
            raise


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the folder of a pyramid for this process.

    Raises:
        DataError: Another process is writing it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.with_name(f".{folder.name}.lock")
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DataError(f"out={folder} is being written by another process: wait until it has ended.") from None
    except NotImplementedError:  # a file system without locks
        pass
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        lock.release()


def _is_complete(folder: Path, pyramid: Pyramid) -> bool:
    """Whether the folder contains the complete pyramid; raises DataError if it has other contents."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not (folder / DESCRIPTION).is_file():
        raise DataError(f"out={folder} exists and is not a prepared data set; give another name.")
    if not read_description(str(folder)).has_same_content(pyramid):
        raise DataError(f"out={folder} contains a data set of another source or other settings: give another name.")
    return True


@dataclass
class _PyramidWriter:
    """State of a pyramid that is being written.

    Args:
        folder: Folder of the unfinished files.
        pyramid: Description of the pyramid; `skipped` is filled while images are decoded.
        done: Number of images that are durable on disk at every resolution.
    """

    folder: Path
    pyramid: Pyramid
    done: int = 0

    @classmethod
    def resume_or_start(cls, folder: Path, pyramid: Pyramid) -> "_PyramidWriter":
        """The state that an interrupted call recorded, or a new one with empty arrays."""
        if (folder / _PROGRESS).is_file():
            try:
                record = json.loads(read_text(folder / _PROGRESS, errors="strict"))
                skipped = {int(row): name for row, name in record["pyramid"].pop("skipped").items()}
                writer = cls(folder, Pyramid(**record["pyramid"], skipped=skipped), int(record["done"]))
            except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                raise DataError(f"{folder / _PROGRESS} is damaged; delete {folder}.") from error
            if not writer.pyramid.has_same_content(pyramid):
                raise DataError(
                    f"{folder} was started with another source or other settings; delete it, or give another out."
                )
            return writer
        folder.mkdir(parents=True, exist_ok=True)
        for resolution in pyramid.resolutions:
            with array_file(folder, resolution).open("wb") as file:
                header = {"descr": "|u1", "fortran_order": False, "shape": pyramid.shape(resolution)}
                np.lib.format.write_array_header_1_0(file, header)
        writer = cls(folder, pyramid)
        writer.record()
        return writer

    def record(self) -> None:
        """Write the progress record; it is replaced atomically."""
        write_text(self.folder / _PROGRESS, json.dumps({"done": self.done, "pyramid": asdict(self.pyramid)}))

    def write_images(self, raw: RawImages, decoder: Decoder, on_error: str, largest_block: int) -> None:
        """Decode in several threads and write, starting at image `done`, with a progress record after every block."""
        from tqdm import tqdm

        size = _BLOCK_BYTES // (decoder.channels * decoder.resolution**2)
        size = min(max(1, size), largest_block)
        resolutions = self.pyramid.resolutions
        pool = ThreadPoolExecutor(min(32, max(2, os.cpu_count() or 1)))
        try:
            with tqdm(total=len(raw), initial=self.done, desc="Preparing images", unit="image", mininterval=1) as bar:
                for first in range(self.done, len(raw), size):
                    block = range(first, min(first + size, len(raw)))
                    found = list(pool.map(lambda position: _decode_at_all(raw, position, decoder, resolutions), block))
                    self._write_block(first, list(self._usable(raw, first, found, on_error)))
                    bar.update(len(block))
        finally:
            pool.shutdown(cancel_futures=True)

    def _usable(
        self, raw: RawImages, first: int, found: list[Images | UnusableImage], on_error: str
    ) -> Iterator[Images | None]:
        """The images of a block, None for skipped ones, which are recorded in the description."""
        for row, images in enumerate(found, first):
            if isinstance(images, UnusableImage):
                if on_error == "stop":
                    raise refused(images) from images
                self.pyramid.skipped[row] = raw.name(row)
                self.pyramid.kinds[images.kind] = self.pyramid.kinds.get(images.kind, 0) + 1
                yield None
            else:
                yield images

    def _write_block(self, first: int, block: list[Images | None]) -> None:
        for resolution in self.pyramid.resolutions:
            empty = torch.zeros(self.pyramid.shape(resolution)[1:], dtype=torch.uint8)
            pixels = torch.stack([empty if images is None else images[resolution] for images in block]).numpy()
            with array_file(self.folder, resolution).open("r+b") as file:
                np.lib.format.read_magic(file)
                np.lib.format.read_array_header_1_0(file)  # the position is now at the first image
                file.seek(first * empty.numel(), os.SEEK_CUR)
                file.write(pixels.tobytes())
                file.flush()
                os.fsync(file.fileno())
        self.done = first + len(block)
        self.record()

    def finish(self, raw: RawImages, folder: Path) -> Pyramid:
        """Write labels, names and description, and rename the folder."""
        if len(self.pyramid.skipped) == len(raw):
            raise DataError(f"None of the {len(raw)} images of {self.pyramid.source} can be used.")
        if raw.labels is not None:
            np.save(self.folder / LABELS, raw.labels.numpy())
        write_text(self.folder / NAMES, json.dumps([raw.name(position) for position in range(len(raw))]))
        self.pyramid.write(self.folder / DESCRIPTION)
        if folder.is_dir():
            folder.rmdir()  # it is empty; some systems cannot rename to an existing folder
        os.replace(self.folder, folder)
        (folder / _PROGRESS).unlink()
        return self.pyramid


def _decode_at_all(
    raw: RawImages, position: int, decoder: Decoder, resolutions: Sequence[int]
) -> Images | UnusableImage:
    """One image at all resolutions, or the error if it cannot be read."""
    try:
        return smaller_images(decoder(raw, position), resolutions)
    except UnusableImage as error:
        return error
