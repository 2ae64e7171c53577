"""`gan-lab train`: one run, or with -m a sweep of them."""

import logging
import os
import sys
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf, open_dict

from gan_lab.cli import app, joining

log = logging.getLogger(__name__)

OF_ONE_COMMAND = ("run.", "resume", "allow_changes", "allow_targets", "time_limit", "hydra.", "hydra/", "-")
"""Beginnings of settings that a run which goes on does not take over from the command that began it. Flags and what lets code run
are no settings: the folder may be somebody else's."""


def main() -> None:
    """Entry point."""
    sys.argv[1:] = joining.with_shared_folder(_with_settings_of_the_run(sys.argv[1:]))
    app.run("train", train)


def _with_settings_of_the_run(words: list[str]) -> list[str]:
    """With `resume=<run folder>`, what was typed for that run before what is typed now, and its folder."""
    typed = {_key(word): word for word in words if "=" in word or word.startswith("~")}
    run = Path(typed.get("resume", "resume=").partition("=")[2].strip("'\""))
    notes = run / ".hydra" / "overrides.yaml"
    if "resume" not in typed or not notes.is_file():
        return words
    earlier = [word for word in yaml.safe_load(notes.read_text()) if not _is_replaced(word, typed)]
    folder = [] if typed.keys() & {"run.dir", "run.name", "run.root"} else [f"run.dir='{os.path.abspath(run)}'"]
    return [*earlier, *words, *folder]


def _is_replaced(word: str, typed: dict[str, str]) -> bool:
    key = _key(word)
    another_budget = key.startswith("budget.") and any(other.startswith("budget.") for other in typed)
    return key.startswith(OF_ONE_COMMAND) or another_budget or (key in typed and not word.startswith("+"))


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def train(cfg: DictConfig) -> float | None:
    """Train what the config describes, in the run folder that Hydra made."""
    with open_dict(cfg):
        # In a sweep and in the processes that Lightning starts, Hydra's choice is the true one.
        OmegaConf.update(cfg, "run.dir", app.output_folder())
    if app.is_multirun():
        return _trial(cfg)
    joining.tell_folder(cfg.run.dir)
    _run(cfg)
    return None


def train_here(cfg: DictConfig) -> None:
    """Train in this process, and those that Lightning starts.

    Raises:
        SystemExit: The run was stopped to go on later.
    """
    from gan_lab.config.fit import fit
    from gan_lab.config.trials import EXIT_STOPPED
    from gan_lab.processes import is_first_process

    experiment = fit(cfg)
    if experiment.module.interrupted and is_first_process():
        raise SystemExit(EXIT_STOPPED)


def _run(cfg: DictConfig) -> None:
    """One run by itself. When it fails, its folder says why, unless there was a run in it before."""
    from gan_lab.config.run_folders import read_state
    from gan_lab.config.trials import note_failure

    folder = Path(cfg.run.dir)
    try:
        train_here(cfg)
    except Exception as error:
        if read_state(folder).get("process") in (None, os.getpid()):
            note_failure(folder, app.reason(error, "train"))
        raise


def _trial(cfg: DictConfig) -> float | None:
    """One run of a sweep: its objective. When it fails, its folder says why, and the sweep goes on; then None.

    Raises:
        SystemExit: The run was stopped to go on later, or would have begun after another one was. In a worker it is None too:
            the launcher would kill the others for it.
    """
    from gan_lab.config import stopping
    from gan_lab.config.trials import EXIT_STOPPED

    in_worker = app.launcher() != "basic"
    if in_worker:
        stopping.listen()
    try:
        if stopping.told():
            raise SystemExit(EXIT_STOPPED)
        return _objective(cfg)
    except SystemExit as end:
        if end.code != EXIT_STOPPED or not in_worker:
            raise
        stopping.tell()
        return None


def _objective(cfg: DictConfig) -> float | None:
    """Train one run of a sweep; None when it fails."""
    from gan_lab.config.checks import check_multirun
    from gan_lab.config.objective import objective_value
    from gan_lab.config.trials import note_failure, starts_processes, train_in_own_process

    try:
        check_multirun(cfg, app.launcher())
        if starts_processes(cfg):
            train_in_own_process(cfg)
        else:
            train_here(cfg)
        return objective_value(cfg)
    except Exception as error:
        if app.describe(error, "train") is None:
            log.exception("%s failed:", cfg.run.dir)
        reason = app.reason(error, "train")
        note_failure(Path(cfg.run.dir), reason)
        log.error("%s failed: %s", cfg.run.dir, reason)
        return None


if __name__ == "__main__":
    main()
