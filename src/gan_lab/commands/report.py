"""`gan-lab report`: a run on one page."""

from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from gan_lab.errors import ConfigError
from gan_lab.reports.run_page import write_report
from gan_lab.runs.latest import newest_folder


@dataclass(frozen=True)
class Report:
    """The page of a run.

    Attributes:
        file: The HTML file.
    """

    file: Path

    def __str__(self) -> str:
        return f"Written to {self.file}."


def report(cfg: DictConfig) -> Report:
    """Write the HTML page of a run.

    Raises:
        UserError: The run does not exist, or the page cannot be written.
    """
    if cfg.out is not None and Path(cfg.out).is_dir():
        raise ConfigError(f"out={cfg.out} is a directory: give the name of an HTML file.")
    run = newest_folder(Path("runs")) if cfg.run == "latest" else Path(cfg.run)
    return Report(write_report(run, None if cfg.out is None else Path(cfg.out)))
