"""`python -m gan_lab.cli.trial <config>`: one run of a sweep in a process of its own, and each process that it starts."""

import logging
import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from gan_lab.cli import app
from gan_lab.config import schema


def main() -> None:
    """Entry point. The config is a composed one; no override changes it, so that all processes have the same."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    schema.register()
    cfg = OmegaConf.load(sys.argv[1])
    assert isinstance(cfg, DictConfig)
    app.run_alone("train", train_or_note, cfg)


def train_or_note(cfg: DictConfig) -> None:
    """Train; when that fails, the first process notes the reason in the run folder for the sweep, which waits."""
    from gan_lab.cli.train import train_here
    from gan_lab.config.trials import note_failure

    try:
        train_here(cfg)
    except Exception as error:
        note_failure(Path(cfg.run.dir), app.reason(error, "train"))
        raise


if __name__ == "__main__":
    main()
