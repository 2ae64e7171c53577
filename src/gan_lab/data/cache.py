"""Decoded data sets as one uint8 tensor, and the choice of where to keep it."""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gan_lab.data.decode import ImageDecoder
from gan_lab.data.raw import RawImages, UnusableImage, counts_by_kind
from gan_lab.errors import DataError

CACHES = ("auto", "device", "memory", "none")
"""Allowed values for where to keep decoded images; see `choose_cache`."""

_CHUNK = 64  # images per task; a future for each image would cost as much as decoding a small one
_PROGRESS_FROM = 5000  # images; smaller sets are decoded within seconds
_NAMED_IN_WARNING = 5
_UNKNOWN_MEMORY = 8 << 30  # bytes, if the operating system does not report it

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DecodedImages:
    """A decoded image set.

    Args:
        images: uint8 (N, C, H, W).
        labels: int64 (N,) or None.
    """

    images: Tensor
    labels: Tensor | None

    def to(self, device: torch.device | str) -> "DecodedImages":
        """Copy of the set on another device."""
        return DecodedImages(self.images.to(device), None if self.labels is None else self.labels.to(device))


def cache_bytes(count: int, channels: int, resolution: int) -> int:
    """Size in bytes of `count` decoded images."""
    return count * channels * resolution * resolution


def choose_cache(mode: str, nbytes: int, device: torch.device, processes: int = 1) -> str:
    """Where to keep decoded images: "device", "memory" or "none" (decode each image whenever it is needed).

    "auto" takes the device if training uses one CUDA device and the images fill at most 20 % of its free memory; else
    the main memory if all processes' copies fill at most 25 % of it; else none.

    Args:
        mode: One of `CACHES`; all except "auto" are used unchanged.
        nbytes: Size of the decoded images.
        device: Where this process trains. On the CPU "device" is the same as "memory".
        processes: Training processes on this machine, each of which holds a copy.
    """
    if mode == "device" and device.type == "cpu":
        return "memory"
    if mode != "auto":
        return mode
    if device.type == "cuda" and processes == 1 and nbytes <= 0.20 * torch.cuda.mem_get_info(device)[0]:
        return "device"
    return "memory" if nbytes * processes <= 0.25 * _memory_bytes() else "none"


def decode_all(raw: RawImages, decoder: ImageDecoder, on_error: str = "stop", progress: bool = True) -> DecodedImages:
    """Decode every image, in several threads.

    Args:
        raw: The images.
        decoder: Shape of the result.
        on_error: "stop" at the first unreadable image, or "skip" unreadable images with one warning.
        progress: Whether to show a progress bar on standard error for large sets.

    Raises:
        DataError: An image cannot be read and `on_error` is "stop", or no image can be read.
    """
    images = torch.empty(len(raw), decoder.channels, decoder.resolution, decoder.resolution, dtype=torch.uint8)
    failures: dict[int, UnusableImage] = {}
    for found in _decode_chunks(raw, decoder, images, progress and len(raw) >= _PROGRESS_FROM):
        if found and on_error == "stop":
            raise next(iter(found.values()))
        failures.update(found)
    if not failures:
        return DecodedImages(images, raw.labels)
    _report(raw, failures)
    kept = torch.tensor([position for position in range(len(raw)) if position not in failures])
    return DecodedImages(images[kept], None if raw.labels is None else raw.labels[kept])


def _decode_chunks(
    raw: RawImages, decoder: ImageDecoder, images: Tensor, progress: bool
) -> Iterator[dict[int, UnusableImage]]:
    """Fill `images`, and yield the errors of each chunk, in order, by position."""
    from tqdm import tqdm

    def decode(first: int) -> dict[int, UnusableImage]:
        failures = {}
        for position in range(first, min(first + _CHUNK, len(raw))):
            try:
                images[position] = decoder(raw, position)
            except UnusableImage as error:
                failures[position] = error
        return failures

    pool = ThreadPoolExecutor(min(32, max(2, os.cpu_count() or 1)))
    try:
        with tqdm(total=len(raw), desc="Decoding images", unit="image", disable=not progress, mininterval=1) as bar:
            for number, failures in enumerate(pool.map(decode, range(0, len(raw), _CHUNK))):
                bar.update(min(_CHUNK, len(raw) - number * _CHUNK))
                yield failures
    finally:
        pool.shutdown(cancel_futures=True)


def _report(raw: RawImages, failures: dict[int, UnusableImage]) -> None:
    """Log one warning about all skipped images, with the number of each kind; raise DataError if none is left."""
    first = next(iter(failures.values()))
    if len(failures) == len(raw):
        raise DataError(f"None of the {len(raw)} images can be used; the first problem: {first}") from first
    names = ", ".join(raw.name(position) for position in list(failures)[:_NAMED_IN_WARNING])
    more = ", …" if len(failures) > _NAMED_IN_WARNING else ""
    kinds = counts_by_kind(Counter(error.kind for error in failures.values()))
    _logger.warning("Skipped %d of %d images (%s): %s%s.", len(failures), len(raw), kinds, names, more)


def _memory_bytes() -> int:
    """Main memory of this machine, or of the container around this process, in bytes."""
    limits = [_UNKNOWN_MEMORY]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    control_group = Path("/sys/fs/cgroup/memory.max")
    if control_group.is_file() and (text := control_group.read_text().strip()).isdigit():
        limits.append(int(text))
    return min(limits)
