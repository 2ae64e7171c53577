"""Comparison of the runs at the end of a sweep."""

import logging
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from gan_lab.config.overrides import to_paste
from gan_lab.errors import UserError
from gan_lab.terminal import show

if TYPE_CHECKING:
    from gan_lab.reports.compare import ComparedRuns

log = logging.getLogger(__name__)


class CompareAtEnd(Callback):
    """Hydra callback that runs `gan-lab compare` on the folder of a sweep at its end; set under `hydra.callbacks`.

    Light to import, since Hydra builds it before every run.

    Args:
        show: Log keys, in which `*` matches anything but `/`.
        columns: Maximum number of figures of one group on the sheet, at least 2.
        heatmap: Config keys of the rows and of the columns of `heatmap.png`; None for no heat map.
    """

    def __init__(
        self,
        show: Sequence[str] = ("eval/*", "train/*/adversarial"),
        columns: int = 6,
        heatmap: Sequence[str] | None = None,
    ) -> None:
        self.show = show
        self.columns = columns
        self.heatmap = heatmap

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the comparison and what to do next, or log why the runs cannot be compared."""
        if OmegaConf.select(config, "hydra.job.config_name") not in (None, "train"):
            return
        from gan_lab.reports.compare import compare_runs

        try:
            compared = compare_runs(Path(config.hydra.sweep.dir), self.show, self.columns, heatmap=self.heatmap)
            show(compared)
            show(next_line(compared))
        except UserError as error:
            log.warning("The runs could not be compared: %s", error)


def next_line(compared: "ComparedRuns") -> str:
    """The page to open, and the command that samples the best run, if there is a ranking."""
    from gan_lab.reports.sweep_page import SWEEP, best_run

    best = best_run(compared.comparison)
    sample = f", or gan-lab sample {to_paste('run', os.path.relpath(best))}" if best else ""
    return f"Next: open {shlex.quote(os.path.relpath(compared.folder / SWEEP))}{sample}"
