"""What a sweep does when all of its runs have ended."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from gan_lab.config.comparing import compare_runs
from gan_lab.errors import UserError

log = logging.getLogger(__name__)


class CompareAtEnd(Callback):
    """`gan-lab compare` on the folder of a sweep, at its end. An experiment has it under `hydra.callbacks`.

    Args:
        show: Log keys, in which `*` stands for anything but `/`.
        columns: Most pictures of one group on the sheet, at least 2.
        heatmap: Two config keys, of the rows and of the columns of `heatmap.png`; None for no heat map.
    """

    def __init__(
        self, show: Sequence[str] = ("eval/*",), columns: int = 6, heatmap: Sequence[str] | None = None
    ) -> None:
        self.show = show
        self.columns = columns
        self.heatmap = heatmap

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the comparison; what cannot be compared is told, and the runs stay as they are."""
        try:
            print(compare_runs(Path(config.hydra.sweep.dir), self.show, self.columns, heatmap=self.heatmap))
        except UserError as error:
            log.warning("The runs could not be compared: %s", error)
