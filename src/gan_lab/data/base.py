"""Base class of the data modules: the interface that training uses, and the parts common to all."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import ClassVar

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from gan_lab.data.arguments import check_at_least
from gan_lab.data.cache import choose_cache
from gan_lab.data.content import DataContent
from gan_lab.data.processes import Processes
from gan_lab.data.raw import RawImages
from gan_lab.data.sampler import shuffle
from gan_lab.errors import DataError
from gan_lab.noise import mix
from gan_lab.types import Batch, DataSpec

REFERENCE = -1
"""Used instead of an epoch in the seed of `TrainingData.real_batch`."""

REALS_SEED = 0x5245414C
"""Seed of the real samples for evaluations: an arbitrary constant, which must not change."""


class TrainingData(LightningDataModule):
    """A LightningDataModule whose batches are `gan_lab.types.Batch` once they are on the device.

    Args:
        spec: Shape of one sample.
        batch_size: Samples in a batch over all processes.
        seed: The batches are a function of the seed and of their position in the run.
        budget_images: Default for the number of real images that a run sees; only stored here.

    Attributes:
        source: Path or name of the samples, as the user gave it; None for a distribution.
        batch_sizes: Function from the number of real images seen to the size of the next batch, for runs in which it
            changes; else None. Set by the code that builds the run, before training.
        resolutions: Function from the number of real images seen to the resolution in pixels at which the networks use
            the next batch, for runs whose networks grow; else None. A data set with images at several resolutions
            yields the smallest sufficient one. Set like `batch_sizes`.

    Raises:
        ConfigError: A value is not allowed.
    """

    source: str | None = None
    has_pairs: ClassVar[bool] = True
    """The rows of a batch belong together: `image` is what a translation of `source` should be."""
    batch_sizes: Callable[[int], int] | None = None
    resolutions: Callable[[int], int] | None = None

    def __init__(self, spec: DataSpec, batch_size: int, seed: int, budget_images: int) -> None:
        super().__init__()
        check_at_least("batch_size", batch_size, 1)
        check_at_least("dataset.budget_images", budget_images, 1)
        self.spec = spec
        self.batch_size = batch_size
        self.seed = seed
        self.budget_images = budget_images

    @cached_property
    def _raw(self) -> RawImages | None:
        """The images before decoding, read at the first use; None if the module reads none."""
        return None

    @property
    def _processes(self) -> Processes:
        """The processes that train together; without a trainer, a single one on the CPU."""
        return Processes.of(self.trainer)

    def _choose_cache(self, cache: str, nbytes: int) -> str:
        """Where to keep `nbytes` bytes of decoded images in this run; see `choose_cache`."""
        processes = self._processes
        return choose_cache(cache, nbytes, processes.device, processes.on_this_machine)

    def prepare_data(self) -> None:
        """Download missing data, in one process per machine."""
        _ = self._raw

    def setup(self, stage: str | None = None) -> None:
        """Read the data set, once per process.

        Raises:
            DataError: The source cannot be read, or its labels do not fit.
        """
        _ = self._raw

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Copy a flat batch to the device, without Lightning's traversal of nested collections."""
        return {key: value.to(device, non_blocking=True) for key, value in batch.items()}

    def find_unusable(self) -> None:
        """Find the samples that are to be skipped, so that `size` and `empty_classes` leave them out.

        The default does nothing. It is called without a trainer, before a run.
        """

    @property
    @abstractmethod
    def size(self) -> int:
        """Real samples in an epoch."""

    def empty_classes(self) -> list[str]:
        """Names or numbers of the classes of which the data set has no sample; empty without labels."""
        return []

    @property
    def classes(self) -> list[str] | None:
        """Names of the labels 0, 1, …; None if there are no labels or they have no names."""
        return None

    def summary(self) -> str:
        """What was found at the source, in one line; empty if there is nothing to find."""
        return ""

    @property
    def split(self) -> str | None:
        """The split of a published data set that `reals` yields, such as `train`; None if it has no splits."""
        return None if self._raw is None else self._raw.split

    @abstractmethod
    def real_batch(self, count: int) -> Tensor:
        """Samples chosen by the seed, for reference figures: float32 (count, ...) in [-1, 1] or points, on the CPU.

        Raises:
            DataError: The data set has fewer samples, or one cannot be read.
        """

    def reals_by_class(self, labels: Sequence[int], count: int, seed: int | None = None) -> list[Tensor]:
        """At most `count` real samples of each of these labels, the same at each call: float32 (n, ...) on the CPU.

        The default takes them from `reals`, of which it reads four times as many as wanted of every class.

        Args:
            labels: The labels.
            count: Largest number of samples of each.
            seed: Determines the choice; None for the usual one of the data set.

        Raises:
            DataError: The samples have no labels, or one cannot be read.
        """
        chunks = list(self.reals(min(self.size, 4 * count * (self.spec.num_classes or 1)), batch_size=512))
        if any(known is None for _, known in chunks):
            raise DataError("The data set has no labels.")
        samples = torch.cat([chunk for chunk, _ in chunks]).cpu()
        known = torch.cat([known for _, known in chunks if known is not None]).cpu()
        order = torch.arange(len(known)) if seed is None else shuffle(len(known), mix(seed, REFERENCE))
        return [samples[order[known[order] == label][:count]] for label in labels]

    def examples(self, count: int) -> Batch:
        """At most `count` real samples, the same at each call, with all keys of a batch; on the CPU.

        Override this if batches hold more than samples and labels.
        """
        return {"image": self.real_batch(min(count, self.size))}

    @property
    def held_out_size(self) -> int:
        """Number of samples that `held_out_pairs` has."""
        return self.size

    @property
    def held_out_split(self) -> str | None:
        """The split of `held_out_pairs`, such as `test`; `train` if these are samples of the training."""
        return self.split

    def held_out_pairs(self, count: int | None, batch_size: int) -> Iterator[Batch]:
        """Samples with all keys of a batch, for evaluations of translations, in chunks, on the CPU; always the same.

        The default yields those of `examples`. Override it, `held_out_size` and `held_out_split` if the data set has
        samples that training does not use, or is too large for one tensor.

        Args:
            count: At most this number of samples; None for all.
            batch_size: Samples in a chunk.
        """
        examples = self.examples(self.size if count is None else count)
        for parts in zip(*(values.split(batch_size) for values in examples.values()), strict=True):
            yield dict(zip(examples, parts, strict=True))

    @cached_property
    def content(self) -> DataContent | None:
        """What identifies the data of a run, quick to compute; None if it is unknown, and a change is not detected."""
        return None

    @property
    def content_hash(self) -> str | None:
        """Hash in `content`."""
        return None if self.content is None else self.content.hash

    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of the samples and of their conversion to tensors: all that determines `reals`, except its arguments."""

    @abstractmethod
    def reals(self, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Real samples for evaluations, in chunks; the same in every run.

        Args:
            count: Number of samples, chosen by a fixed seed; None for all, in their order.
            batch_size: Samples in a chunk.

        Yields:
            float32 (n, C, H, W) in [-1, 1], never mirrored, or points (n, C); and labels int64 (n,), or None.

        Raises:
            DataError: There are fewer samples, their number is unlimited, or one cannot be read.
        """

    def named(self, batch_size: int) -> Iterator[tuple[Tensor, list[str]]]:
        """All training images in their order, with their names, in chunks.

        Yields:
            float32 (n, C, H, W) in [-1, 1], never mirrored, and n names.

        Raises:
            DataError: The data are not a list of images, or one cannot be read.
        """
        raise DataError(
            f"{type(self).__name__} samples a distribution and has no list of images; choose a data set of "
            "images, such as dataset=image_folder."
        )
