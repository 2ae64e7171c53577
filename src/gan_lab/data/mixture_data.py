"""Data module for two-dimensional mixtures."""

import hashlib

from gan_lab.data.distribution_data import DistributionData
from gan_lab.data.mixtures import GaussianMixture
from gan_lab.errors import ConfigError
from gan_lab.types import DataSpec


class MixtureData(DistributionData):
    """Fresh points of a mixture in every batch, each a function of (seed, epoch, batch).

    `resolution`, `channels` and `num_classes` exist because other parts of the config refer to these keys of every
    data set; they follow from the mixture and are checked against it.

    Args:
        mixture: The distribution, for instance from `ring` or `grid`.
        batch_size: Points in a batch over all processes.
        seed: Seed of the points.
        batches_per_epoch: Length of an epoch, which a distribution does not define.
        budget_images: Default for the number of points that a run sees; only stored here.
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
        _check(mixture, resolution, channels, num_classes)
        spec = DataSpec(channels=2, resolution=None, num_classes=mixture.modes)
        super().__init__(spec, batch_size, seed, batches_per_epoch, budget_images)
        self.mixture = mixture

    @property
    def distribution(self) -> GaussianMixture:
        """The mixture."""
        return self.mixture

    def fingerprint(self) -> str:
        """Number of modes, and a hash of the mixture's parameters."""
        return f"{self.mixture.modes} modes, {hashlib.sha256(repr(self.mixture).encode()).hexdigest()[:24]}"


def _check(mixture: GaussianMixture, resolution: int | None, channels: int, num_classes: int | None) -> None:
    """Raise ConfigError if the mixture is empty or contradicts one of the values."""
    if mixture.modes == 0:
        raise ConfigError("dataset.mixture has no modes: dataset.mixture.modes (modes_per_axis) must be at least 1.")
    if not mixture.std > 0:
        raise ConfigError("dataset.mixture.std must be greater than 0.")
    if resolution is not None:
        raise ConfigError(f"dataset.resolution={resolution} is not possible; points have none, so it must be null.")
    if channels != 2:
        raise ConfigError(f"dataset.channels={channels} is not possible; the points have 2 coordinates.")
    if num_classes not in (None, mixture.modes):
        raise ConfigError(
            f"dataset.num_classes={num_classes}, but the mixture has {mixture.modes} modes; "
            f"give dataset.num_classes={mixture.modes}."
        )
