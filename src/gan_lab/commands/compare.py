"""`gan-lab compare`: comparison of runs."""

from pathlib import Path

from omegaconf import DictConfig

from gan_lab.reports.compare import ComparedRuns, compare_runs
from gan_lab.runs.latest import ROOT, newest_sweep


def compare(cfg: DictConfig) -> ComparedRuns:
    """Compare the runs of folders and write tables, curves and a page.

    Raises:
        UserError: There are no runs to compare, or they were measured differently.
    """
    given = [cfg.runs] if isinstance(cfg.runs, str) else list(cfg.runs)
    roots = [newest_sweep(ROOT) if name == "latest" else Path(name) for name in given]
    out = None if cfg.out is None else Path(cfg.out)
    return compare_runs(
        roots[0] if len(roots) == 1 else roots,
        patterns=list(cfg.show),
        columns=cfg.columns,
        out=out,
        heatmap=cfg.heatmap,
        mixed_protocols=cfg.mixed_protocols,
    )
