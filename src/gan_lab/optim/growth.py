"""Growth schedules: stage, batch size and learning-rate factor as pure functions of real images seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gan_lab.optim.base import Schedule
from gan_lab.optim.schedules import Product
from gan_lab.types import Stage


@dataclass(frozen=True)
class Growth:
    """Progressive growing of Karras et al. (2018), section 2 and appendix A.

    Training holds the first resolution, then doubles it repeatedly: each new resolution is faded in and held, the last
    one to the end of the run.

    Args:
        resolution: Full resolution of the images in pixels: `first` times a power of two, at least 2.
        first: Resolution that training begins with, a power of two, at least 4.
        hold_images: Real images that each resolution is held for.
        fade_images: Real images of each fade-in before that; 0 for a sudden change.
        batch_sizes: Real images in a batch, over all processes, by resolution; the run's batch size by default.
        lr_factors: Factor on the learning rates of all optimizers by resolution; 1 by default.
        reset_optimizers: Whether the optimizers' state is reset when the resolution changes.

    Raises:
        ValueError: A number is not allowed.
    """

    resolution: int | None
    first: int = 4
    hold_images: int = 800_000
    fade_images: int = 800_000
    batch_sizes: Mapping[int, int] = field(default_factory=dict)
    lr_factors: Mapping[int, float] = field(default_factory=dict)
    reset_optimizers: bool = True

    def __post_init__(self) -> None:
        if self.resolution is None:
            raise ValueError("growth needs images, but growth.resolution=null, as for points; set growth=none")
        if not (_is_power_of_two(self.first) and _is_power_of_two(self.resolution) and self.first < self.resolution):
            raise ValueError(
                f"growth.first={self.first} and dataset.resolution={self.resolution} are not allowed: "
                "both must be powers of two, at least 4, and first must be smaller"
            )
        if self.hold_images < 0 or self.fade_images < 0 or self.hold_images + self.fade_images == 0:
            raise ValueError(
                f"growth.hold_images={self.hold_images} and growth.fade_images={self.fade_images} are not allowed: "
                "they must be at least 0, and not both 0"
            )
        _check_table("batch_sizes", self.batch_sizes, 1)
        _check_table("lr_factors", self.lr_factors, 0)

    @property
    def doublings(self) -> int:
        """Number of resolutions after the first."""
        return ((self.resolution or 0) // self.first).bit_length() - 1

    @property
    def grown_images(self) -> int:
        """Real images until the full resolution is faded in: 12,800,000 at 1024 pixels by default."""
        return self.doublings * (self.hold_images + self.fade_images)

    @property
    def total_images(self) -> int:
        """Real images until the full resolution has been held as long as the others: 13,600,000 at 1024 by default."""
        return self.grown_images + self.hold_images

    def stage(self, images_seen: int) -> Stage:
        """Stage of the networks for a batch that begins at `images_seen`."""
        number, images = divmod(images_seen - self.hold_images, self.fade_images + self.hold_images)
        if number < 0:
            return Stage(self.first)
        if number >= self.doublings:
            return Stage(self.first << self.doublings)
        return Stage(self.first << number + 1, min(images / self.fade_images, 1.0) if self.fade_images else 1.0)

    def batch_size(self, images_seen: int, default: int) -> int:
        """Real images, over all processes, in a batch that begins at `images_seen`; `default` if none is set."""
        return self.batch_sizes.get(self.stage(images_seen).resolution, default)

    def lr_factor(self, images_seen: int) -> float:
        """Factor on the learning rates at `images_seen`; a `Schedule`."""
        return self.lr_factors.get(self.stage(images_seen).resolution, 1.0)

    def with_growth(self, schedules: Mapping[str, Schedule]) -> Mapping[str, Schedule]:
        """The given schedules, by optimizer setting, with this factor on the learning rate."""
        if not self.lr_factors:
            return schedules
        return {**schedules, "lr": Product(self.lr_factor, schedules["lr"]) if "lr" in schedules else self.lr_factor}


def equal_stages(
    resolution: int | None,
    budget_images: int,
    first: int = 4,
    batch_sizes: Mapping[int, int] | None = None,
    lr_factors: Mapping[int, float] | None = None,
    reset_optimizers: bool = True,
) -> Growth:
    """Growth schedule for a run of any length: equal fades and holds, except the last hold, at least twice as long.

    Args:
        resolution: See `Growth`, as for the other arguments.
        budget_images: Length of the run in real images.
        first: Resolution that training begins with.
        batch_sizes: By resolution.
        lr_factors: By resolution.
        reset_optimizers: At a change of resolution.

    Raises:
        ValueError: A number is not allowed.
    """
    probe = Growth(resolution, first)
    stage_images = max(1, budget_images // (2 * probe.doublings + 2))
    return Growth(resolution, first, stage_images, stage_images, batch_sizes or {}, lr_factors or {}, reset_optimizers)


def _check_table(name: str, table: Mapping[int, float], least: int) -> None:
    for resolution, value in table.items():
        if not isinstance(resolution, int) or not _is_power_of_two(resolution):
            raise ValueError(
                f"growth.{name} has {resolution}=... among its resolutions, which must be powers of two, at least 4"
            )
        if value < least or value <= 0:
            allowed = "at least 1" if least else "greater than 0"
            raise ValueError(f"growth.{name}.{resolution}={value} is not allowed: it must be {allowed}")


def _is_power_of_two(resolution: int) -> bool:
    """True for powers of two, at least 4."""
    return resolution >= 4 and resolution & (resolution - 1) == 0
