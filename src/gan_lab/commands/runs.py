"""`gan-lab runs`: all runs below a folder, with their state, progress, best number and age. Light to import."""

from pathlib import Path

from omegaconf import DictConfig

from gan_lab.reports.listing import RunList, list_runs


def runs(cfg: DictConfig) -> RunList:
    """List the runs below `root`, by default the newest first.

    Raises:
        ConfigError: `root` is not a directory.
    """
    return list_runs(Path(cfg.root), cfg.sort, cfg.filter)
