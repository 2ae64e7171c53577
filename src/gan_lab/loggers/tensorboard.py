"""TensorBoard logger that shows a resumed run as one curve."""

from lightning.pytorch.loggers import TensorBoardLogger


class EventFiles(TensorBoardLogger):
    """Lightning's TensorBoard logger with the real images seen as steps.

    A resumed run starts a new event file, which purges later events of the earlier files.

    Args:
        save_dir: Run folder; events are written to its folder `tensorboard`.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__(save_dir, name="tensorboard", version="")

    def resume_from(self, images_seen: int, rows: int | None = None) -> None:
        """Purge events after `images_seen`, which the resumed run logs again."""
        self._kwargs["purge_step"] = images_seen + 1
