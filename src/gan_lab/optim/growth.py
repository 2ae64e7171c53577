"""When networks grow: the stage, the batch and the rate as pure functions of the real images seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gan_lab.optim.schedules import Product
from gan_lab.types import Schedule, Stage


@dataclass(frozen=True)
class Growth:
    """Progressive growing of Karras et al. (2018), section 2 and appendix A.

    Training holds the first resolution, then doubles the side again and again: each new resolution is faded in and held,
    the last one to the end of the run.

    Args:
        resolution: Full side of the images in pixels: `first` doubled at least once.
        first: Side that training begins with, a power of two from 4 on.
        hold_images: Real images that each resolution is held for.
        fade_images: Real images that each new resolution is faded in over, before that; 0 for a sudden change.
        batch_sizes: Resolution to the real images in a batch, over all processes; the run's own batch where there is none.
        rates: Resolution to the factor on the rate of all optimizers; 1 where there is none.
        reset_optimizers: Whether the optimizers forget their moments whenever the resolution changes.

    Raises:
        ValueError: A number is not one of the allowed.
    """

    resolution: int | None
    first: int = 4
    hold_images: int = 800_000
    fade_images: int = 800_000
    batch_sizes: Mapping[int, int] = field(default_factory=dict)
    rates: Mapping[int, float] = field(default_factory=dict)
    reset_optimizers: bool = True

    def __post_init__(self) -> None:
        if self.resolution is None:
            raise ValueError("growth is for images, and this data set holds points; set growth=none")
        if not (_is_side(self.first) and _is_side(self.resolution) and self.first < self.resolution):
            raise ValueError(
                f"growth.first={self.first} and dataset.resolution={self.resolution} are not allowed: both must be powers "
                "of two from 4 on, and the second the larger"
            )
        if self.hold_images < 0 or self.fade_images < 0 or self.hold_images + self.fade_images == 0:
            raise ValueError(
                f"growth.hold_images={self.hold_images} and growth.fade_images={self.fade_images} are not allowed: they "
                "must be at least 0, and one of them more"
            )
        _check_table("batch_sizes", self.batch_sizes, 1)
        _check_table("rates", self.rates, 0)

    @property
    def doublings(self) -> int:
        """Number of resolutions after the first."""
        return ((self.resolution or 0) // self.first).bit_length() - 1

    @property
    def grown_images(self) -> int:
        """Real images until the full resolution is faded in: 12,800,000 at 1024 pixels by default."""
        return self.doublings * (self.hold_images + self.fade_images)

    @property
    def whole_images(self) -> int:
        """Real images until it has been held as long as the others: 13,600,000 at 1024 pixels by default."""
        return self.grown_images + self.hold_images

    def stage(self, images_seen: int) -> Stage:
        """Where the networks are for a batch that begins when so many real images have been seen."""
        number, images = divmod(images_seen - self.hold_images, self.fade_images + self.hold_images)
        if number < 0:
            return Stage(self.first)
        if number >= self.doublings:
            return Stage(self.first << self.doublings)
        return Stage(self.first << number + 1, min(images / self.fade_images, 1.0) if self.fade_images else 1.0)

    def batch_size(self, images_seen: int, otherwise: int) -> int:
        """Real images, over all processes, in a batch that begins then; `otherwise` at a resolution that has none."""
        return self.batch_sizes.get(self.stage(images_seen).resolution, otherwise)

    def rate(self, images_seen: int) -> float:
        """Factor on the optimizers' rates then; a `Schedule`."""
        return self.rates.get(self.stage(images_seen).resolution, 1.0)

    def paced(self, schedules: Mapping[str, Schedule]) -> Mapping[str, Schedule]:
        """The schedules of a run, by optimizer setting, with this factor on the rate."""
        if not self.rates:
            return schedules
        return {**schedules, "lr": Product(self.rate, schedules["lr"]) if "lr" in schedules else self.rate}


def evenly(
    resolution: int | None,
    budget_images: int,
    first: int = 4,
    batch_sizes: Mapping[int, int] | None = None,
    rates: Mapping[int, float] | None = None,
    reset_optimizers: bool = True,
) -> Growth:
    """A growth that fits a run of any length: all fades and holds are as long as each other, the last hold at least twice.

    Args:
        resolution: See `Growth`, also for the others.
        budget_images: Length of the run in real images.
        first: Side that training begins with.
        batch_sizes: By resolution.
        rates: By resolution.
        reset_optimizers: At a change of resolution.

    Raises:
        ValueError: A number is not one of the allowed.
    """
    probe = Growth(resolution, first)
    share = max(1, budget_images // (2 * probe.doublings + 2))
    return Growth(resolution, first, share, share, batch_sizes or {}, rates or {}, reset_optimizers)


def _check_table(name: str, table: Mapping[int, float], least: int) -> None:
    for side, value in table.items():
        if not isinstance(side, int) or not _is_side(side):
            raise ValueError(f"growth.{name} has {side}=... among its sides, which must be powers of two from 4 on")
        if value < least or value <= 0:
            allowed = "at least 1" if least else "greater than 0"
            raise ValueError(f"growth.{name}.{side}={value} is not allowed: it must be {allowed}")


def _is_side(side: int) -> bool:
    return side >= 4 and side & (side - 1) == 0
