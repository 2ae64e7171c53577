"""Factors on an optimizer's settings, as pure functions of the real images seen."""

from dataclasses import dataclass

from gan_lab.types import Schedule


@dataclass(frozen=True)
class Linear:
    """From 1 at `begin_images` in a straight line to `end_factor` at `end_images`, constant before and after.

    `end_factor=0` is the decay to zero of Gulrajani et al. (2017) and Miyato et al. (2018).
    """

    end_images: int
    end_factor: float = 0.0
    begin_images: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.begin_images < self.end_images:
            raise ValueError(
                f"a linear schedule needs 0 <= begin_images < end_images, not {self.begin_images} and {self.end_images}"
            )

    def __call__(self, images_seen: int) -> float:
        progress = (images_seen - self.begin_images) / (self.end_images - self.begin_images)
        return 1 + (self.end_factor - 1) * min(max(progress, 0.0), 1.0)


@dataclass(frozen=True)
class Exponential:
    """Halves every `half_life_images`, down to `floor_factor`: the decay of Goodfellow et al. (2014), by images."""

    half_life_images: float
    floor_factor: float = 0.0

    def __post_init__(self) -> None:
        if self.half_life_images <= 0:
            raise ValueError(f"an exponential schedule needs half_life_images > 0, not {self.half_life_images}")

    def __call__(self, images_seen: int) -> float:
        return max(0.5 ** (images_seen / self.half_life_images), self.floor_factor)


@dataclass(frozen=True)
class Warmup:
    """From 0 in a straight line to 1 at `end_images`, then constant: the rate ramp-up of Karras et al. (2018)."""

    end_images: int

    def __post_init__(self) -> None:
        if self.end_images <= 0:
            raise ValueError(f"a warm-up needs end_images > 0, not {self.end_images}")

    def __call__(self, images_seen: int) -> float:
        return min(images_seen / self.end_images, 1.0)


@dataclass(frozen=True)
class Product:
    """Two schedules of one setting at a time."""

    first: Schedule
    second: Schedule

    def __call__(self, images_seen: int) -> float:
        return self.first(images_seen) * self.second(images_seen)
