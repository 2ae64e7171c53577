"""Protocol of schedules."""

from typing import Protocol


class Schedule(Protocol):
    """A factor on a setting of training (learning rate, momentum, ...) as a pure function of real images seen."""

    def __call__(self, images_seen: int) -> float: ...
