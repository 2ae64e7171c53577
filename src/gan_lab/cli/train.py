"""`gan-lab train`: one run, or with -m a sweep of them."""

import logging
import os
import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from gan_lab.cli import app, joining
from gan_lab.cli.imports import import_heavy
from gan_lab.config.early_checks import check_command
from gan_lab.config.messages import describe, reason
from gan_lab.config.overrides import names_as_typed
from gan_lab.config.resumed_overrides import with_overrides_of_run
from gan_lab.interrupts import EXIT_STOPPED, Interrupted
from gan_lab.ranks import is_first_process
from gan_lab.runs.new_folders import OF_A_RUN, remove_unused
from gan_lab.terminal import show

log = logging.getLogger(__name__)

TRAINING = "gan_lab.training.fit"


def main() -> None:
    """Entry point. A command that ends before a run begins leaves no folder."""
    with app.user_errors_reported("train"):
        sys.argv[1:] = joining.with_shared_folder(with_overrides_of_run(names_as_typed(sys.argv[1:])))
    try:
        app.run("train", train)
    except SystemExit as end:
        if end.code and is_first_process():
            remove_unused()
        raise


def train(cfg: DictConfig) -> float | None:
    """Train what the config describes, in the run folder that Hydra created."""
    with open_dict(cfg):
        # In a sweep and in the processes that Lightning starts, Hydra's output folder is the right one.
        OmegaConf.update(cfg, "run.dir", app.output_folder())
    if app.is_multirun():
        return _trial(cfg)
    joining.publish_folder(cfg.run.dir)
    _run(cfg)
    return None


def train_here(cfg: DictConfig) -> None:
    """Train in this process and those that Lightning starts.

    Raises:
        SystemExit: The run was interrupted and can be resumed.
    """
    fit = import_heavy(TRAINING).fit
    try:
        # No variable for the experiment, so that its callbacks are freed when the process exits: functions that imports
        # call may never be freed, nor those that call the import.
        interrupted = fit(cfg).module.interrupted
    except Interrupted as signal:
        if is_first_process():
            show(f"gan-lab train: stopped by {signal} before it began.", sys.stderr)
        raise SystemExit(EXIT_STOPPED) from None
    if interrupted and is_first_process():
        raise SystemExit(EXIT_STOPPED)


def _run(cfg: DictConfig) -> None:
    """One run. If it fails, and was not refused before it began, its folder gets the reason, unless of another run."""
    from gan_lab.runs.state import note_failure, read_state

    folder = Path(cfg.run.dir)
    try:
        check_command("train", cfg)  # before torch is imported, which takes seconds
        train_here(cfg)
    except Exception as error:
        is_refused = describe(error, "train") and not any((folder / name).exists() for name in OF_A_RUN)
        if not is_refused and read_state(folder).get("process") in (None, os.getpid()):
            note_failure(folder, reason(error, "train"))
        raise


def _trial(cfg: DictConfig) -> float | None:
    """Train one run of a sweep and return its objective. A failure is recorded in its folder and returns None.

    Raises:
        SystemExit: The run was interrupted, or the sweep was before it began. A worker returns None instead, since
            the launcher would kill the other workers.
    """
    from gan_lab.sweeps import signals

    in_worker = app.launcher() not in signals.IN_THIS_PROCESS
    if in_worker:
        signals.listen()
    try:
        if signals.is_stopping():
            raise SystemExit(EXIT_STOPPED)
        return _objective(cfg)
    except SystemExit as end:
        remove_unused()
        if end.code != EXIT_STOPPED or not in_worker:
            raise
        signals.request_stop()
        return None


def _objective(cfg: DictConfig) -> float | None:
    """Objective of one run of a sweep; None if it fails."""
    from gan_lab.config.checks import check_multirun
    from gan_lab.config.notes import record_command
    from gan_lab.reports.objective import objective_value
    from gan_lab.runs.state import note_failure
    from gan_lab.sweeps.signals import is_stopping
    from gan_lab.sweeps.trials import starts_processes, train_in_own_process

    try:
        check_multirun(cfg, app.launcher())
        if starts_processes(cfg):
            train_in_own_process(cfg)
            record_command(cfg)
        else:
            import_heavy(TRAINING)  # takes seconds, in which a signal may arrive
            if is_stopping():
                raise SystemExit(EXIT_STOPPED)
            train_here(cfg)
        return objective_value(cfg)
    except Exception as error:
        if describe(error, "train") is None:
            log.exception("%s failed:", cfg.run.dir)
        why = reason(error, "train")
        note_failure(Path(cfg.run.dir), why)
        log.error("%s failed: %s", cfg.run.dir, why)
        return None


if __name__ == "__main__":
    main()
