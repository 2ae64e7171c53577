"""TensorBoard logger that shows a resumed run as one curve."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from gan_lab.loggers.description import RunDescription


class EventFiles(TensorBoardLogger):
    """Lightning's TensorBoard logger with the real images seen as steps.

    A resumed run starts a new event file, which purges later events of the earlier files. At the end of a run its
    hyperparameters are logged with the metrics of the samples or, without any, with the loss terms.

    Args:
        save_dir: Run folder; events are written to its folder `tensorboard`.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__(save_dir, name="tensorboard", version="", default_hp_metric=False)
        self._hyperparameters: dict[str, Any] = {}
        self._logged: dict[str, None] = {}  # keys of metrics and losses

    def resume_from(self, images_seen: int, rows: int | None = None) -> None:
        """Purge events after `images_seen`, which the resumed run logs again."""
        self._kwargs["purge_step"] = images_seen + 1

    @rank_zero_only
    def describe(self, description: RunDescription) -> None:
        """Note the hyperparameters of the run."""
        self._hyperparameters = description.hyperparameters()

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write the values at `step`, and note their keys."""
        self._logged |= dict.fromkeys(key for key in metrics if key.startswith(("eval/", "train/")))
        super().log_metrics(dict(metrics), step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the hyperparameters with the names of the metrics, and close the file."""
        if self._hyperparameters:
            self._write_hyperparameters()
        super().finalize(status)

    def _write_hyperparameters(self) -> None:
        """Write what TensorBoard's page of hyperparameters shows; it finds the values of the metrics itself."""
        from torch.utils.tensorboard.summary import hparams

        metrics = [key for key in self._logged if key.startswith("eval/") and key != "eval/seconds"]
        metrics = metrics or [key for key in self._logged if not key.startswith(("eval/", "train/lr/"))]
        writer = self.experiment._get_file_writer()
        for summary in hparams(self._hyperparameters, dict.fromkeys(metrics)):
            writer.add_summary(summary)
