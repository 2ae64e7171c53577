"""Interval in real images seen."""


class Every:
    """Interval whose `due` is true in the first batch that reaches or passes a multiple of `images`.

    Args:
        images: Length of the interval in real images; at least 1.
    """

    def __init__(self, images: int) -> None:
        self.images = max(1, images)
        self._passed = 0

    def start(self, images_seen: int) -> None:
        """Skip the multiples up to `images_seen`, where the run starts."""
        self._passed = images_seen // self.images

    def due(self, images_seen: int) -> bool:
        """Whether a multiple was passed since the previous call."""
        passed = images_seen // self.images
        due, self._passed = passed > self._passed, passed
        return due
