"""Schedules: factors on optimizer settings as pure functions of real images seen."""

from dataclasses import dataclass
from math import cos, pi

from gan_lab.optim.base import Schedule


@dataclass(frozen=True)
class Linear:
    """Linear from 1 at `begin_images` to `end_factor` at `end_images`; constant before and after.

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
        if not 0 <= self.end_factor < float("inf"):
            raise ValueError(f"a linear schedule needs an end_factor of at least 0, not {self.end_factor}")

    def __call__(self, images_seen: int) -> float:
        progress = (images_seen - self.begin_images) / (self.end_images - self.begin_images)
        return 1 + (self.end_factor - 1) * min(max(progress, 0.0), 1.0)


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from `start_factor` to `end_factor` at `end_images`, then constant: Huang et al. (2024)."""

    end_images: int
    end_factor: float = 0.0
    start_factor: float = 1.0

    def __post_init__(self) -> None:
        if self.end_images <= 0:
            raise ValueError(f"a cosine schedule needs end_images > 0, not {self.end_images}")
        for name, factor in {"start_factor": self.start_factor, "end_factor": self.end_factor}.items():
            if not 0 <= factor < float("inf"):
                raise ValueError(f"a cosine schedule needs a {name} of at least 0, not {factor}")

    def __call__(self, images_seen: int) -> float:
        remaining = (1 + cos(pi * min(images_seen / self.end_images, 1.0))) / 2
        return self.end_factor + (self.start_factor - self.end_factor) * remaining


@dataclass(frozen=True)
class Exponential:
    """Exponential decay that halves every `half_life_images`, down to `min_factor`, as in Goodfellow et al. (2014)."""

    half_life_images: float
    min_factor: float = 0.0

    def __post_init__(self) -> None:
        if not self.half_life_images > 0:
            raise ValueError(f"an exponential schedule needs half_life_images > 0, not {self.half_life_images}")
        if not 0 <= self.min_factor <= 1:
            raise ValueError(f"an exponential schedule needs a min_factor from 0 to 1, not {self.min_factor}")

    def __call__(self, images_seen: int) -> float:
        return max(0.5 ** (images_seen / self.half_life_images), self.min_factor)


@dataclass(frozen=True)
class Warmup:
    """Linear from 0 to 1 at `end_images`, then constant: the learning-rate ramp-up of Karras et al. (2018)."""

    end_images: int

    def __post_init__(self) -> None:
        if self.end_images <= 0:
            raise ValueError(f"a warm-up needs end_images > 0, not {self.end_images}")

    def __call__(self, images_seen: int) -> float:
        return min(images_seen / self.end_images, 1.0)


@dataclass(frozen=True)
class Product:
    """Product of two schedules of the same setting."""

    first: Schedule
    second: Schedule

    def __call__(self, images_seen: int) -> float:
        return self.first(images_seen) * self.second(images_seen)
