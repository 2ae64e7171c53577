"""Decoded data sets as one uint8 tensor, and the choice of where to keep it."""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gan_lab.data.content import fingerprint
from gan_lab.data.decode import Decoder, ImageDecoder
from gan_lab.data.decoding import CHUNK, Failures, decode_chunks
from gan_lab.data.kept import kept_sets
from gan_lab.data.raw import RawImages, counts_by_kind
from gan_lab.errors import DataError

CACHES = ("auto", "device", "memory", "none")
"""Allowed values for where to keep decoded images; see `choose_cache`."""

_PROGRESS_FROM = 5000  # images; smaller sets are decoded within seconds
_NAMED_IN_WARNING = 5
_OF_MEMORY = 0.25  # largest part of the main memory for decoded images
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
    return "memory" if nbytes * processes <= _OF_MEMORY * _memory_bytes() else "none"


def decode_once(raw: RawImages, decoder: ImageDecoder, on_error: str = "stop", progress: bool = True) -> DecodedImages:
    """`decode_all`, but inside `sets_kept` the same bytes are decoded once, unless some of the images are skipped."""
    kept = kept_sets.get()
    if kept is None or type(raw) is not RawImages or not isinstance(decoder, Decoder):
        return decode_all(raw, decoder, on_error, progress)
    key = fingerprint(raw, decoder)
    found = kept.pop(key, None) or decode_all(raw, decoder, on_error, progress)
    if len(found.images) == len(raw):  # the others are decoded again, for the warning
        kept[key] = found
        while sum(each.images.nbytes for each in kept.values()) > _OF_MEMORY * _memory_bytes():
            del kept[next(iter(kept))]
    return found


def decode_all(raw: RawImages, decoder: ImageDecoder, on_error: str = "stop", progress: bool = True) -> DecodedImages:
    """Decode every image, on all cores.

    Args:
        raw: The images.
        decoder: Shape of the result.
        on_error: "stop" at the first unreadable image, or "skip" unreadable images with one warning.
        progress: Whether to show a progress bar on standard error for large sets.

    Raises:
        DataError: An image cannot be read and `on_error` is "stop", or no image can be read.
    """
    images, chunks = decode_chunks(raw, decoder)
    failures: Failures = {}
    with closing(chunks):
        for found in _shown(chunks, len(raw), progress and len(raw) >= _PROGRESS_FROM):
            if found and on_error == "stop":
                raise next(iter(found.values()))
            failures.update(found)
    if not failures:
        return DecodedImages(images, raw.labels)
    _report(raw, failures)
    kept = torch.tensor([position for position in range(len(raw)) if position not in failures])
    return DecodedImages(images[kept], None if raw.labels is None else raw.labels[kept])


def _shown(found: Iterator[Failures], count: int, progress: bool) -> Iterator[Failures]:
    """The errors of each chunk, with a progress bar."""
    from tqdm import tqdm

    with tqdm(total=count, desc="Decoding images", unit="image", disable=not progress, mininterval=1) as bar:
        for number, failures in enumerate(found):
            bar.update(min(CHUNK, count - number * CHUNK))
            yield failures


def _report(raw: RawImages, failures: Failures) -> None:
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
