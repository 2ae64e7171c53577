"""Loader that decodes batches from files on demand, for sets that do not fit in memory."""

import itertools
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypedDict

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from gan_lab.data.decode import ImageDecoder, refused
from gan_lab.data.loaders import ResumableLoader
from gan_lab.data.raw import RawImages
from gan_lab.data.sampler import IndexSampler
from gan_lab.data.workers import ignore_job_signals
from gan_lab.errors import DataError
from gan_lab.types import Batch

_logger = logging.getLogger(__name__)


class _Decoded(TypedDict):
    """Result of a worker: a batch, the reason of each position that it skipped, and an error message or ""."""

    batch: Batch
    skipped: dict[int, str]
    error: str


PREFETCHED = 4
"""Batches that each worker process decodes before they are asked for."""


class FileLoader(ResumableLoader):
    """Decodes the images of each batch on demand, in worker processes if there are any.

    Yields the same batches as a `MemoryLoader` with the same sampler. With `on_error="skip"` an unreadable image is
    replaced by the next readable one of the data set; `skipped` holds the unreadable positions found so far.

    Args:
        raw: The images.
        labels: int64 (N,) or None.
        decoder: Shape of the images.
        sampler: Order of the images.
        on_error: "stop" or "skip".
        num_workers: Number of worker processes; 0 decodes in this process.
        pin_memory: Use page-locked memory, for a faster copy to a CUDA device.

    Raises:
        DataError: While iterating: an image cannot be read and `on_error` is "stop", or no image can be read.
    """

    def __init__(
        self,
        raw: RawImages,
        labels: Tensor | None,
        decoder: ImageDecoder,
        sampler: IndexSampler,
        on_error: str = "stop",
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        super().__init__(sampler)
        self.skipped: set[int] = set()
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self._dataset = _BatchDecoder(raw, labels, decoder, on_error)
        self._rest = _RestOfEpoch(sampler)
        self._loader: DataLoader[_Decoded] | None = None

    @property
    def batches_ahead(self) -> int:
        """See `ResumableLoader.batches_ahead`."""
        return PREFETCHED * self.num_workers

    def close(self) -> None:
        """End the worker processes, which otherwise wait for the next epoch; the next iteration starts new ones.

        Garbage collection may take seconds to end them: the queue that stops them may be collected first.
        """
        self._loader = None

    def _batches(self, start: int) -> Iterator[Batch]:
        self._rest.start = start
        try:
            for decoded in self._started():
                if decoded["error"]:
                    raise DataError(decoded["error"])
                self._record_skipped(decoded["skipped"])
                yield decoded["batch"]
        except DataError:
            self.close()
            raise
        except (OSError, RuntimeError) as error:
            self.close()
            if not self.num_workers:
                raise
            raise DataError(_worker_failure(error)) from error

    def _started(self) -> Iterator[_Decoded]:
        """Decoded batches of the rest of the epoch; starts the workers, unless they wait since the last epoch.

        Raises:
            DataError: The system does not allow as many processes or open files.
        """
        if self._loader is None:
            self._loader = self._make_loader()
        with _exceptions_in_del_ignored():
            try:
                return iter(self._loader)
            except (OSError, RuntimeError) as error:
                failure = _worker_failure(error)
            # The error is deleted here, and so is PyTorch's incomplete iterator, which then misses an attribute.
        self.close()
        raise DataError(failure)

    def _make_loader(self) -> DataLoader[_Decoded]:
        return DataLoader(
            self._dataset,
            batch_sampler=self._rest,
            collate_fn=_identity,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            prefetch_factor=PREFETCHED if self.num_workers else None,
            pin_memory=self.pin_memory,
            worker_init_fn=ignore_job_signals if self.num_workers else None,
            generator=torch.Generator().manual_seed(0),  # keeps the worker seeds off the global random state
        )

    def _record_skipped(self, skipped: dict[int, str]) -> None:
        """Record the unreadable images, and log a warning at the first one."""
        if skipped and not self.skipped:
            reason = next(iter(skipped.values())).rstrip(".")
            _logger.warning("%s; it and others that cannot be used are replaced by the next readable image.", reason)
        self.skipped.update(skipped)


class _RestOfEpoch:
    """The index lists of the sampler's epoch from batch `start` on."""

    def __init__(self, sampler: IndexSampler) -> None:
        self.sampler = sampler
        self.start = 0

    def __iter__(self) -> Iterator[list[int]]:
        for index in self.sampler.batches(self.start):
            yield index.tolist()


class _BatchDecoder(Dataset[_Decoded]):
    """Decodes batches. An error is part of the result, since an exception would add a worker's traceback."""

    def __init__(self, raw: RawImages, labels: Tensor | None, decoder: ImageDecoder, on_error: str) -> None:
        self.raw = raw
        self.labels = labels
        self.decoder = decoder
        self.on_error = on_error

    def __getitems__(self, positions: list[int]) -> _Decoded:
        """The batch at these positions; called by the data loader."""
        skipped: dict[int, str] = {}
        try:
            pairs = [self._usable(position, skipped) for position in positions]
        except DataError as error:
            return {"batch": {}, "skipped": {}, "error": str(error)}
        index = torch.tensor([position for position, _ in pairs])
        batch: Batch = {"image": torch.stack([image for _, image in pairs]), "index": index}
        if self.labels is not None:
            batch["label"] = self.labels[index]
        try:
            if get_worker_info() is not None:
                # The queue would do it in a thread, whose failure the training process never learns of.
                batch = {key: tensor.share_memory_() for key, tensor in batch.items()}
        except (RuntimeError, OSError) as error:
            return {"batch": {}, "skipped": {}, "error": _worker_failure(error)}
        return {"batch": batch, "skipped": skipped, "error": ""}

    def _usable(self, position: int, skipped: dict[int, str]) -> tuple[int, Tensor]:
        """This image, or with `on_error="skip"` the next one that can be read, with its position."""
        for candidate in itertools.chain(range(position, len(self.raw)), range(position)):
            try:
                return candidate, self.decoder(self.raw, candidate)
            except DataError as error:
                if self.on_error == "stop":
                    raise refused(error) from error
                skipped[candidate] = str(error)
        raise DataError(f"None of the {len(self.raw)} images can be used; the first is {self.raw.name(0)}.")


@contextmanager
def _exceptions_in_del_ignored() -> Iterator[None]:
    """Do not print exceptions of destructors in the block."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = hook


def _worker_failure(error: Exception) -> str:
    """Message for an error of the system in a worker process, or when the workers start or send a batch."""
    text = " ".join(str(getattr(error, "strerror", None) or error).split())  # without the number of an OSError
    is_full = any(sign in text for sign in ("No space left", "shared memory", "Bus error"))  # a full tmpfs
    cause = "the shared memory in /dev/shm is full" if is_full else text.rstrip(".")
    advice = ", or enlarge /dev/shm (docker run --shm-size=1g)" if is_full else " or a smaller number"
    return f"The worker processes that decode images cannot run: {cause}; set hardware.num_workers=0{advice}."


def _identity(decoded: Any) -> Any:
    return decoded  # already a batch, made by `__getitems__`
