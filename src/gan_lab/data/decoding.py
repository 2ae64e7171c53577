"""Decoding of many images on all cores: in processes for large sets, else in threads."""

import mmap
import multiprocessing
import os
from collections.abc import Callable, Generator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import torch
from torch import Tensor

from gan_lab.data.decode import ImageDecoder
from gan_lab.data.raw import RawImages, UnusableImage
from gan_lab.data.workers import ignore_job_signals
from gan_lab.errors import DataError

PROCESSES_FROM = 20_000
"""Images from which the start of processes takes less time than they save."""

CHUNK = 64
"""Images per task; a task for each image would cost as much as decoding a small one."""

Failures = dict[int, UnusableImage]
"""Errors by position."""

_decode: Callable[[int], Failures]  # in a worker process


def decode_chunks(raw: RawImages, decoder: ImageDecoder) -> tuple[Tensor, Generator[Failures]]:
    """Decode all images on all cores.

    Python runs one thread at a time, and decoding a small image is mostly Python; so threads would use one core of
    many. The processes write into memory that they share, and nothing is copied.

    Args:
        raw: The images.
        decoder: Shape of the images.

    Returns:
        uint8 (N, C, H, W), and a generator of the errors of each chunk of `CHUNK` images, which fills them and must be
        closed.
    """
    shape = (len(raw), decoder.channels, decoder.resolution, decoder.resolution)
    if len(raw) < PROCESSES_FROM or not _can_fork():
        images = torch.empty(shape, dtype=torch.uint8)
        return images, _failures(len(raw), ThreadPoolExecutor(max(2, _cores())), partial(_fill, raw, decoder, images))
    memory = mmap.mmap(-1, images_bytes := torch.Size(shape).numel())
    images = torch.frombuffer(memory, dtype=torch.uint8, count=images_bytes).view(shape)
    context = multiprocessing.get_context("fork")  # the images stay one memory of all processes
    pool = ProcessPoolExecutor(_cores(), context, _start, (raw, decoder, images))
    return images, _failures(len(raw), pool, _fill_in_worker)


def _can_fork() -> bool:
    """Whether processes are worth it, and start as those of PyTorch's data loaders do."""
    allowed = not multiprocessing.current_process().daemon
    return allowed and _cores() > 1 and multiprocessing.get_start_method() == "fork"


def _cores() -> int:
    """Cores that this process may use, at most 32."""
    return min(32, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _failures(count: int, pool: Executor, fill: Callable[[int], Failures]) -> Generator[Failures]:
    """Errors of the chunks, in order.

    Raises:
        DataError: A process cannot start, or was ended.
    """
    try:
        yield from pool.map(fill, range(0, count, CHUNK))
    except (BrokenProcessPool, OSError) as error:
        raise DataError(
            "The processes that decode images cannot start or were ended by the system, as without memory; give "
            "dataset.cache=none, which decodes images when they are needed."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _fill(raw: RawImages, decoder: ImageDecoder, images: Tensor, first: int) -> Failures:
    """Decode one chunk into `images`."""
    failures = {}
    for position in range(first, min(first + CHUNK, len(raw))):
        try:
            images[position] = decoder(raw, position)
        except UnusableImage as error:
            failures[position] = error
    return failures


def _start(raw: RawImages, decoder: ImageDecoder, images: Tensor) -> None:
    """Prepare a worker process."""
    global _decode
    ignore_job_signals()
    torch.set_num_threads(1)
    _decode = partial(_fill, raw, decoder, images)


def _fill_in_worker(first: int) -> Failures:
    return _decode(first)
