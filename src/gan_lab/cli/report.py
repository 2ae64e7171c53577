"""`gan-lab report`: a run on one page."""

import sys
from pathlib import Path

from omegaconf import DictConfig

from gan_lab.cli import app


def main() -> None:
    """Entry point. A folder may stand alone, as shells complete it: `gan-lab report runs/x`."""
    sys.argv[1:] = [f"run='{word}'" if Path(word).is_dir() else word for word in sys.argv[1:]]
    app.run("report", report)


def report(cfg: DictConfig) -> None:
    """Write the page and print where it is."""
    from gan_lab.config.run_report import newest_folder, write_report

    run = newest_folder(Path("runs")) if cfg.run == "latest" else Path(cfg.run)
    print(f"Written to {write_report(run, None if cfg.out is None else Path(cfg.out))}.")


if __name__ == "__main__":
    main()
