"""Conditions: extra inputs of a generator besides its latents, such as labels, codes or source images.

A condition gives the conditions of the real samples of a batch (`of`) and samples those of generated samples
(`sample`). Networks, steps and discriminator outputs carry them as one tensor with one row per sample, or None.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_lab.noise import Noise
from gan_lab.ranges import require_at_least
from gan_lab.types import Batch

PRIORS = ("uniform", "data")


class Condition(Protocol):
    """The source of conditions of an algorithm.

    Attributes:
        num_classes: Number of labels if the condition is a label; else None.
        num_generators: Number of generators if the condition is the number of one; else None.
        needs_batch: `sample` takes its conditions from real data, so it needs a batch.
    """

    @property
    def num_classes(self) -> int | None: ...

    @property
    def num_generators(self) -> int | None: ...

    @property
    def needs_batch(self) -> bool: ...

    def of(self, batch: Batch) -> Tensor | None:
        """The conditions of the real samples of a batch, with n rows, or None."""

    def sample(self, noise: Noise, batch: Batch | None = None) -> Tensor | None:
        """Conditions of generated samples; None in an unconditional algorithm.

        Args:
            noise: One row for each sample.
            batch: The real batch, with the same number of rows.
        """

    def examples(self, count: int) -> Tensor | None:
        """At most `count` different conditions for the rows of an image grid, on the CPU; None if there are none."""

    def names(self, classes: Sequence[str] | None) -> Sequence[str] | None:
        """Names of all values that the condition can have; None if they have none.

        Args:
            classes: Names of the classes of the data, if they are known.
        """

    def parse(self, values: Any, count: int) -> Tensor:
        """Convert values of a user to the conditions of `count` samples.

        Raises:
            ValueError: The values are not conditions of this algorithm, or their number is wrong.
        """


class _WithoutNames:
    """Base of conditions that are neither labels nor numbers of generators."""

    num_classes: ClassVar[int | None] = None
    num_generators: ClassVar[int | None] = None

    def names(self, classes: Sequence[str] | None) -> Sequence[str] | None:
        """None."""
        return None


@dataclass(frozen=True)
class Labels:
    """Class labels, int64 (n,); none in an unconditional algorithm.

    Args:
        num_classes: Number of labels, or None for an unconditional algorithm.
        prior: Labels of generated samples: `uniform` over the classes, or `data` for those of the real batch.
    """

    num_classes: int | None = None
    prior: str = "uniform"

    def __post_init__(self) -> None:
        if self.prior not in PRIORS:
            raise ValueError(f"conditioning.prior={self.prior} is not known; choose uniform or data")
        if self.num_classes is not None:
            require_at_least("conditioning.num_classes", self.num_classes, 1)

    @property
    def num_generators(self) -> None:
        return None

    @property
    def needs_batch(self) -> bool:
        return False

    def of(self, batch: Batch) -> Tensor | None:
        """The labels of the batch, int64 (n,), or None."""
        return None if self.num_classes is None else batch.get("label")

    def sample(self, noise: Noise, batch: Batch | None = None) -> Tensor | None:
        """Labels int64 (rows,), or None. Without a labeled batch the prior `data` is uniform."""
        if self.num_classes is None:
            return None
        real = None if batch is None else batch.get("label")
        if self.prior == "data" and real is not None:
            return real
        return noise.integers(self.num_classes)

    def examples(self, count: int) -> Tensor | None:
        """The first `count` labels, int64."""
        return None if self.num_classes is None else torch.arange(min(self.num_classes, count))

    def names(self, classes: Sequence[str] | None) -> Sequence[str] | None:
        """The names of the classes."""
        return classes

    def parse(self, values: Any, count: int) -> Tensor:
        """Convert one label for all samples, or one for each, to int64 (count,)."""
        if self.num_classes is None:
            raise ValueError(f"labels={_shortened(values)} needs a run with conditioning, and this run has none")
        return _whole_numbers(values, count, self.num_classes, "labels", "label")


@dataclass(frozen=True)
class GeneratorNumbers:
    """Numbers of the generators of a mixture, int64 (n,): MGAN, Hoang et al. (2018), and MAD-GAN, Ghosh et al. (2018).

    Every generator makes an equal part of a batch over all processes, up to one sample. Real samples have no number.

    Args:
        generators: Number of generators, K.

    Raises:
        ValueError: There is none.
    """

    generators: int

    def __post_init__(self) -> None:
        require_at_least("conditioning.generators", self.generators, 1)

    @property
    def num_classes(self) -> None:
        return None

    @property
    def num_generators(self) -> int:
        return self.generators

    @property
    def needs_batch(self) -> bool:
        return False

    def of(self, batch: Batch) -> None:
        """None: no generator made the real samples."""
        return None

    def sample(self, noise: Noise, batch: Batch | None = None) -> Tensor:
        """Numbers int64 (rows,)."""
        return noise.balanced(self.generators)

    def examples(self, count: int) -> Tensor:
        """The first `count` numbers, int64."""
        return torch.arange(min(self.generators, count))

    def names(self, classes: Sequence[str] | None) -> Sequence[str]:
        """A name with the number of each generator."""
        return [f"generator {number}" for number in range(self.generators)]

    def parse(self, values: Any, count: int) -> Tensor:
        """Convert one number for all samples, or one for each, to int64 (count,)."""
        return _whole_numbers(values, count, self.generators, "generator", "number")


@dataclass(frozen=True)
class Codes(_WithoutNames):
    """Latent codes that the discriminator learns to predict from samples: InfoGAN, Chen et al. (2016), section 5.

    A code is float32 (n, sum(categories) + continuous): a one-hot vector for each categorical variable, then
    independent U(-1, 1) numbers. Real samples have none.

    Args:
        categories: Number of values of each categorical variable.
        continuous: Number of continuous variables.

    Raises:
        ValueError: A number is too small, or there are no variables.
    """

    categories: Sequence[int] = (10,)
    continuous: int = 2

    def __post_init__(self) -> None:
        sizes = self.categories
        if not isinstance(sizes, Sequence) or isinstance(sizes, str) or any(type(k) is not int or k < 2 for k in sizes):
            shown = list(sizes) if isinstance(sizes, tuple) else sizes
            raise ValueError(
                f"conditioning.categories={shown} is not allowed: it must be a list of whole numbers of at least 2"
            )
        if type(self.continuous) is not int or self.continuous < 0 or not self.dim:
            raise ValueError(
                f"conditioning.continuous={self.continuous} is not allowed: it must be a whole number of at least 0, "
                "or of at least 1 without categories"
            )

    @property
    def dim(self) -> int:
        """Length of a code."""
        return sum(self.categories) + self.continuous

    @property
    def needs_batch(self) -> bool:
        return False

    def of(self, batch: Batch) -> None:
        """None: real samples have no known code."""
        return None

    def sample(self, noise: Noise, batch: Batch | None = None) -> Tensor:
        """Codes float32 (rows, dim)."""
        one_hot = [F.one_hot(noise.integers(size), size).float() for size in self.categories]
        return torch.cat([*one_hot, 2 * noise.uniform(self.continuous) - 1], 1)

    def examples(self, count: int) -> Tensor | None:
        """One code per value of the first categorical variable; the others have the value 0."""
        if not self.categories:
            return None
        rows = min(self.categories[0], count)
        first = F.one_hot(torch.arange(rows), self.categories[0]).float()
        others = [F.one_hot(torch.zeros(rows, dtype=torch.int64), size).float() for size in self.categories[1:]]
        return torch.cat([first, *others, torch.zeros(rows, self.continuous)], 1)

    def parse(self, values: Any, count: int) -> Tensor:
        """Convert codes (count, dim), or one code (dim,) for all samples, to float32 (count, dim)."""
        allowed = (
            f"numbers of shape ({count}, {self.dim}): a one-hot vector for each of categories={list(self.categories)}, "
            f"then {self.continuous} continuous variables"
        )
        rows = _numbers(values, "condition", allowed).float()
        if rows.shape == (self.dim,):
            rows = rows.expand(count, self.dim)
        if rows.shape != (count, self.dim):
            raise ValueError(f"condition has the shape {tuple(rows.shape)}: it must be {allowed}")
        *one_hot, numbers = rows.split([*self.categories, self.continuous], 1)
        if not all(((part == 0) | (part == 1)).all() and (part.sum(1) == 1).all() for part in one_hot):
            raise ValueError(f"condition is not a code: it must be {allowed}")
        if not numbers.isfinite().all():
            raise ValueError("condition is not a code: its continuous variables must be finite")
        return rows


@dataclass(frozen=True)
class FromData(_WithoutNames):
    """Conditions from the data set: a source image for translation, a coarse image for a Laplacian pyramid.

    Args:
        key: Key of the batch; its value has one row per sample.
    """

    key: str

    @property
    def needs_batch(self) -> bool:
        return True

    def of(self, batch: Batch) -> Tensor:
        """The values of the batch, (n, ...).

        Raises:
            ValueError: The batch has no such key.
        """
        if self.key not in batch:
            raise ValueError(f"conditioning.key={self.key} is not in the batch, which has {', '.join(batch)}")
        return batch[self.key]

    def sample(self, noise: Noise, batch: Batch | None = None) -> Tensor:
        """The values of the batch: a generated sample has the same condition as the real sample of its row.

        Raises:
            ValueError: There is no batch.
        """
        if batch is None:
            raise ValueError(f"samples of this generator need a condition, {self.key}; pass one for each sample")
        return self.of(batch)

    def examples(self, count: int) -> None:
        """None: there is no list of conditions to choose from."""
        return None

    def parse(self, values: Any, count: int) -> Tensor:
        """Convert values with one row per sample to a tensor."""
        rows = _numbers(values, "condition", f"a tensor with {count} rows")
        if rows.dim() == 0 or len(rows) != count:
            raise ValueError(f"condition has the shape {tuple(rows.shape)}: it must be a tensor with {count} rows")
        return rows


def _whole_numbers(values: Any, count: int, high: int, key: str, noun: str) -> Tensor:
    """Convert one number in [0, high) for all samples, or one for each, to int64 (count,)."""
    rows = _numbers(values, key, "a whole number, or one for each sample")
    if rows.dim() == 0:
        rows = rows.expand(count)
    if rows.shape != (count,):
        raise ValueError(
            f"{key} has {' x '.join(map(str, rows.shape))} entries for {count} samples: "
            f"pass one {noun}, or one for each"
        )
    wrong = [value for value in rows.tolist() if value != int(value) or not 0 <= value < high]
    if wrong:
        raise ValueError(f"{key}={wrong[0]:g} is not allowed: {noun}s are whole numbers from 0 to {high - 1}")
    return rows.long()


def _numbers(values: Any, name: str, allowed: str) -> Tensor:
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name}={_shortened(values)} is not allowed: it must be {allowed}") from error


def _shortened(values: Any) -> str:
    """Values as text of at most 60 characters, for a message."""
    flat = values.flatten().tolist() if isinstance(values, Tensor) else values
    alike = isinstance(flat, (list, tuple)) and len({str(value) for value in flat}) == 1
    return str(flat[0] if alike else flat)[:60]
