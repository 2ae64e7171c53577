"""The data module of two-dimensional mixtures."""

import hashlib
from collections.abc import Iterator

from torch import Tensor

from gan_lab.data.arguments import check_at_least, require_count
from gan_lab.data.base import TrainingData
from gan_lab.data.loaders import PointLoader
from gan_lab.data.mixtures import GaussianMixture
from gan_lab.data.processes import Processes
from gan_lab.errors import ConfigError
from gan_lab.noise import Noise, mix
from gan_lab.types import DataSpec

_REALS = 0x5245414C  # seed of the points that evaluations compare with
_REFERENCE = -1  # in the place of the epoch, for the seed of `real_batch`


class MixtureData(TrainingData):
    """Yields fresh points of a mixture in every batch, each a function of (seed, epoch, batch).

    `resolution`, `channels` and `num_classes` are there because a config states them for every data set and other
    parts of it refer to them; they follow from the mixture and are checked against it.

    Args:
        mixture: The distribution, for instance from `ring` or `grid`.
        batch_size: Points in a batch over all processes.
        seed: What the points are a function of.
        batches_per_epoch: Length of an epoch, which a distribution does not have by itself.
        budget_images: How many points a run sees unless the budget of the run says otherwise; only stored here.
        resolution: None, since points have no pixels.
        channels: 2, the coordinates.
        num_classes: The number of modes, or None to take it from the mixture.

    Raises:
        ConfigError: A value is not allowed or contradicts the mixture.
    """

    def __init__(
        self,
        mixture: GaussianMixture,
        batch_size: int,
        seed: int = 0,
        batches_per_epoch: int = 1000,
        budget_images: int = 1_000_000,
        resolution: None = None,
        channels: int = 2,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        _check_arguments(mixture, batch_size, batches_per_epoch, budget_images)
        _check_against(mixture, resolution, channels, num_classes)
        self.mixture = mixture
        self.spec = DataSpec(channels=2, resolution=None, num_classes=mixture.modes)
        self.batch_size = batch_size
        self.seed = seed
        self.batches_per_epoch = batches_per_epoch
        self.budget_images = budget_images

    @property
    def size(self) -> int:
        """Points in an epoch."""
        return self.batches_per_epoch * self.batch_size

    @property
    def classes(self) -> None:
        """None: modes have no names."""
        return None

    def train_dataloader(self) -> PointLoader:
        """Batches of fresh points; see `PointLoader` for what is in them.

        Raises:
            DataError: The batch does not divide by the processes.
        """
        processes = Processes.of(self.trainer)
        return PointLoader(
            self.mixture, self.batches_per_epoch, self.batch_size, self.seed, processes.rank, processes.world
        )

    def real_batch(self, count: int) -> Tensor:
        """Points that the seed decides, for reference plots: float32 (count, 2)."""
        return self.mixture.sample(Noise(mix(self.seed, _REFERENCE), count))[0]

    def fingerprint(self) -> str:
        """The mixture in words."""
        return f"{self.mixture.modes} modes, {hashlib.sha256(repr(self.mixture).encode()).hexdigest()[:24]}"

    def reals(self, count: int | None, batch_size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """See `TrainingData.reals`."""
        points, labels = self.mixture.sample(Noise(_REALS, require_count(count)))
        yield from zip(points.split(batch_size), labels.split(batch_size), strict=True)


def _check_arguments(mixture: GaussianMixture, batch_size: int, batches_per_epoch: int, budget_images: int) -> None:
    """Refuse numbers that make no mixture or no epoch."""
    if mixture.modes == 0 or not mixture.std > 0:
        raise ConfigError("dataset.mixture needs at least one mode and a std above 0.")
    check_at_least("batch_size", batch_size, 1)
    check_at_least("dataset.batches_per_epoch", batches_per_epoch, 1)
    check_at_least("dataset.budget_images", budget_images, 1)


def _check_against(mixture: GaussianMixture, resolution: int | None, channels: int, num_classes: int | None) -> None:
    """Refuse statements that the mixture contradicts."""
    if resolution is not None:
        raise ConfigError(f"dataset.resolution={resolution} is not possible; points have none, so it must be null.")
    if channels != 2:
        raise ConfigError(f"dataset.channels={channels} is not possible; the points have 2 coordinates.")
    if num_classes not in (None, mixture.modes):
        raise ConfigError(
            f"dataset.num_classes={num_classes}, but the mixture has {mixture.modes} modes; "
            f"give dataset.num_classes={mixture.modes}."
        )
