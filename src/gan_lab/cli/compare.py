"""`gan-lab compare`: runs side by side."""

import sys
from pathlib import Path

from omegaconf import DictConfig

from gan_lab.cli import app


def main() -> None:
    """Entry point. A folder may stand alone, as shells complete it: `gan-lab compare runs/multirun/x`."""
    sys.argv[1:] = [f"runs='{word}'" if Path(word).is_dir() else word for word in sys.argv[1:]]
    app.run("compare", compare)


def compare(cfg: DictConfig) -> None:
    """Compare, write and print."""
    from gan_lab.config.comparing import compare_runs, newest_sweep

    root = newest_sweep(Path("runs")) if cfg.runs == "latest" else Path(cfg.runs)
    out = None if cfg.out is None else Path(cfg.out)
    print(
        compare_runs(
            root,
            patterns=list(cfg.show),
            columns=cfg.columns,
            out=out,
            heatmap=cfg.heatmap,
            mixed_protocols=cfg.mixed_protocols,
        )
    )


if __name__ == "__main__":
    main()
