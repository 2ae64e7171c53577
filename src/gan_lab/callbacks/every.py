"""When something that happens every so many images is due."""


class Every:
    """True once for each multiple of `images` that a run passes, however large its batches are.

    Args:
        images: Real images from one time to the next; at least 1.
    """

    def __init__(self, images: int) -> None:
        self.images = max(1, images)
        self._passed = 0

    def start(self, images_seen: int) -> None:
        """Forget the multiples before `images_seen`, for a run that starts there."""
        self._passed = images_seen // self.images

    def due(self, images_seen: int) -> bool:
        """Whether a multiple was passed since the last call."""
        passed = images_seen // self.images
        due, self._passed = passed > self._passed, passed
        return due
