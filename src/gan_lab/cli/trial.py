"""`python -m gan_lab.cli.trial <config>`: one run of a sweep in a process of its own."""

import logging
import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from gan_lab.cli import app
from gan_lab.config import resolvers
from gan_lab.config.messages import reason
from gan_lab.interrupts import EXIT_STOPPED, end_at_signals
from gan_lab.runs.new_folders import remove_unused
from gan_lab.terminal import PrintableFormatter


def main() -> None:
    """Entry point. Takes a composed config without overrides, so that all processes of the run have the same."""
    end_at_signals("train", EXIT_STOPPED, remove_unused)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger().handlers[0].setFormatter(PrintableFormatter())
    resolvers.register()
    cfg = OmegaConf.load(sys.argv[1])
    assert isinstance(cfg, DictConfig)
    app.run_alone("train", train_and_record_failure, cfg)


def train_and_record_failure(cfg: DictConfig) -> None:
    """Train; on a failure the first process writes the reason into the run folder, for the waiting sweep."""
    from gan_lab.cli.train import train_here
    from gan_lab.runs.state import note_failure

    try:
        train_here(cfg)
    except Exception as error:
        note_failure(Path(cfg.run.dir), reason(error, "train"))
        raise


if __name__ == "__main__":
    main()
