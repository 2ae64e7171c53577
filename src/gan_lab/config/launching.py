"""Launching the runs of a sweep: they suit what is in its folder, end together at a signal, and a lost worker is told.

Light to import: no torch.
"""

import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from gan_lab.config.run_folders import FINISHED, RUNNING, STOPPED, find_runs, is_dead, read_state, states_since
from gan_lab.config.stopping import reason, stoppable, stoppable_workers, told
from gan_lab.config.trials import EXIT_STOPPED
from gan_lab.errors import ConfigError, TrainingError

log = logging.getLogger(__name__)

NOT_TRAINING = ("hydra", "metrics")
"""Beginnings of words that change nothing in the training, beside those of `resuming.CHANGE_NOTHING`."""


class WorkersLost(TrainingError):
    """A worker of a launcher died, and its runs with it; the message names them."""


def watched(launcher: Launcher, config: DictConfig) -> Launcher:
    """The launcher for runs of `gan-lab train`; for other commands as it is."""
    return WatchedLauncher(launcher, config) if config.hydra.job.config_name == "train" else launcher


class WatchedLauncher(Launcher):
    """Another launcher, with a sweep that can be stopped and gone on with.

    Args:
        launcher: What starts the runs; it has been set up.
        config: The config of the sweep.
    """

    def __init__(self, launcher: Launcher, config: DictConfig) -> None:
        self.launcher = launcher
        self.folder = Path(config.hydra.sweep.dir)
        self.name = config.hydra.runtime.choices["hydra/launcher"] or "basic"

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra."""
        self.launcher.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Have the runs trained.

        Args:
            job_overrides: What each run has on its command line.
            initial_job_idx: Number of the first.

        Raises:
            ConfigError: The folder of one of them holds a run with other settings; none was begun.
            SystemExit: A run was stopped to go on later, so the sweep is.
            WorkersLost: A worker died.
        """
        check_settings(self.folder, job_overrides, initial_job_idx)
        start = time.time()
        try:
            returns = self._launch(job_overrides, initial_job_idx)
        except SystemExit as end:
            if end.code != EXIT_STOPPED:
                raise
            self._stopped()
        except Exception as error:
            if told():
                self._stopped()
            if type(error).__module__.partition(".")[0] not in ("joblib", "submitit"):
                raise
            log.debug("A worker was lost:", exc_info=error)
            raise WorkersLost(self._lost(start)) from error
        if told() or any(state.get("state") == STOPPED for state in states_since(self.folder, start).values()):
            self._stopped()
        return returns

    def _launch(self, overrides: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        if self.name.startswith("submitit"):  # its jobs are told by whoever runs them
            return self.launcher.launch(overrides, initial_job_idx=first)
        with stoppable() if self.name == "basic" else stoppable_workers(self.folder):
            return self.launcher.launch(overrides, initial_job_idx=first)

    def _stopped(self) -> None:
        """Say how the sweep goes on.

        Raises:
            SystemExit: Always.
        """
        states = [read_state(run).get("state") for run in find_runs(self.folder)]
        print(
            f"{reason()} stopped this sweep; {states.count(FINISHED)} of its runs are finished. To go on: the same command "
            f"with hydra.sweep.dir={os.path.relpath(self.folder)}",
            file=sys.stderr,
        )
        raise SystemExit(EXIT_STOPPED)

    def _lost(self, start: float) -> str:
        states = {str(run): state for run, state in states_since(self.folder, start).items()}
        running = [run for run, state in states.items() if state.get("state") == RUNNING]
        dead = [run for run in running if is_dead(states[run])]
        alive = [run for run in running if run not in dead]
        rest = f" ({', '.join(alive)} may be training still)" if alive else ""
        return (
            f"A worker of hydra/launcher={self.name} was killed from outside, as by a lack of memory, and with it "
            f"{', '.join(dead) or 'a run that had not begun'}{rest}. To go on: the same command with "
            f"hydra.sweep.dir={os.path.relpath(self.folder)}"
        )


def check_settings(folder: Path, jobs: Sequence[Sequence[str]], first: int) -> None:
    """Refuse to go on with a sweep with other settings than its runs had, before any of them begins.

    Args:
        folder: The folder of the sweep.
        jobs: What each run has on its command line.
        first: Number of the first.

    Raises:
        ConfigError: A run in the folder had other settings, and `allow_changes` is false.
    """
    for number, words in enumerate(jobs, first):
        notes = folder / str(number) / ".hydra" / "overrides.yaml"
        if not notes.is_file() or not (folder / str(number) / "config.yaml").is_file():  # nothing was trained there
            continue
        before, now = _typed(yaml.safe_load(notes.read_text())), _typed(words)
        differing = [key for key in {**before, **now} if before.get(key) != now.get(key) and _alters(key)]
        if differing and now.get("allow_changes", "false").lower() != "true":
            told_of = ", ".join(
                f"{key}={before.get(key, '(not given)')} (now {now.get(key, 'not given')})" for key in differing
            )
            raise ConfigError(
                f"hydra.sweep.dir={folder} holds a run {number} with {told_of}: give the settings and lists that this sweep began "
                "with, where the first list alone may have new values at its end; another hydra.sweep.dir for another sweep; or "
                "allow_changes=true to go on with the new ones."
            )


def _typed(words: Sequence[str]) -> dict[str, str]:
    """Words of a command line by key."""
    return {key.lstrip("+"): value for key, _, value in (word.partition("=") for word in words)}


def _alters(key: str) -> bool:
    """Whether a word of the command line may alter the training."""
    from gan_lab.config.resuming import CHANGE_NOTHING  # which loads torch

    return not key.startswith((*CHANGE_NOTHING, *NOT_TRAINING)) and f"{key}." not in CHANGE_NOTHING
