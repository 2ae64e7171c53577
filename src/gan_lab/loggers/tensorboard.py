"""TensorBoard, which shows a run that goes on as one."""

from lightning.pytorch.loggers import TensorBoardLogger


class EventFiles(TensorBoardLogger):
    """Lightning's logger for TensorBoard, with the real images seen as steps.

    A run that goes on begins a new file of events. It tells TensorBoard to drop what earlier files have beyond that point.

    Args:
        save_dir: Events go to its folder `tensorboard`.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__(save_dir, name="tensorboard", version="")

    def go_on_from(self, images_seen: int) -> None:
        """Hide what was logged after `images_seen`, which the run will log again."""
        self._kwargs["purge_step"] = images_seen + 1
