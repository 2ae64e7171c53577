"""Protocol of schedules."""

from typing import Protocol


class Schedule(Protocol):
    """A factor on an optimizer setting (learning rate, momentum, ...) as a pure function of real images seen."""

    def __call__(self, images_seen: int) -> float: ...
