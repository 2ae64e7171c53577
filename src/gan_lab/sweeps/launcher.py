"""Sweep launcher: checks overrides against the sweep folder, stops all runs on a signal, reports lost workers.

Light to import: no torch.
"""

import logging
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from gan_lab.config.notes import first_key, read_overrides
from gan_lab.config.overrides import to_paste
from gan_lab.data.kept import sets_kept
from gan_lab.errors import ConfigError, TrainingError
from gan_lab.interrupts import EXIT_STOPPED, release
from gan_lab.runs.search import find_runs, states_since
from gan_lab.runs.state import FINISHED, RUNNING, STOPPED, is_dead, read_state
from gan_lab.sweeps.signals import IN_THIS_PROCESS, first_signal, is_stopping, stoppable, stoppable_workers

log = logging.getLogger(__name__)

NOT_TRAINING = ("hydra", "metrics")
"""Prefixes of keys that do not affect training, in addition to `resuming.MAY_CHANGE`."""


MAX_CHECKED = 100
"""Most configs that are kept between the check and the run."""

KEPT = {
    "model", "preset", "experiment", "dataset", "algorithm", "loss", "architecture", "wrapper", "conditioning",
    "latent", "width", "seed",
}  # fmt: skip
"""First parts of keys that a run keeps: it cannot be resumed with others, and its number in a sweep stands for them."""


class WorkersLost(TrainingError):
    """A worker process of a launcher died; the message names its runs."""


def watched(launcher: Launcher, config: DictConfig) -> Launcher:
    """Wrap the launcher for runs of `gan-lab train`; return it unchanged for other commands."""
    return WatchedLauncher(launcher, config) if config.hydra.job.config_name == "train" else launcher


class WatchedLauncher(Launcher):
    """Launcher whose sweep can be stopped and resumed; delegates to another launcher.

    Args:
        launcher: Starts the runs; already set up.
        config: The config of the sweep.
    """

    def __init__(self, launcher: Launcher, config: DictConfig) -> None:
        self.launcher = launcher
        self.folder = Path(config.hydra.sweep.dir)
        self.name = launcher_name(config)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra."""
        self.launcher.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Train the runs.

        Args:
            job_overrides: Overrides of each run.
            initial_job_idx: Number of the first run.

        Raises:
            ConfigError: The folder of one of them holds a run with other settings; none was started.
            SystemExit: A run was interrupted, and with it the sweep.
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
            if is_stopping():
                self._stopped()
            if type(error).__module__.partition(".")[0] not in ("joblib", "submitit"):
                raise
            log.debug("A worker was lost:", exc_info=error)
            raise WorkersLost(self._lost(start)) from error
        if is_stopping() or any(state.get("state") == STOPPED for state in states_since(self.folder, start).values()):
            self._stopped()
        return returns

    def _launch(self, overrides: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
        release()
        if self.name.startswith("submitit"):  # SLURM signals its jobs itself
            return self.launcher.launch(overrides, initial_job_idx=first)
        with stoppable() if self.name in IN_THIS_PROCESS else stoppable_workers(self.folder), sets_kept():
            return self.launcher.launch(overrides, initial_job_idx=first)

    def _stopped(self) -> None:
        """Print how to resume the sweep.

        Raises:
            SystemExit: Always.
        """
        runs = find_runs(self.folder) if self.folder.is_dir() else []  # removed if none of them began
        states = [read_state(run).get("state") for run in runs]
        print(
            f"{first_signal()} stopped this sweep; {states.count(FINISHED)} of its runs are finished. To resume: the "
            f"same command with {to_paste('hydra.sweep.dir', os.path.relpath(self.folder))}",
            file=sys.stderr,
        )
        raise SystemExit(EXIT_STOPPED)

    def _lost(self, start: float) -> str:
        states = {str(run): state for run, state in states_since(self.folder, start).items()}
        running = [run for run, state in states.items() if state.get("state") == RUNNING]
        dead = [run for run in running if is_dead(states[run])]
        alive = [run for run in running if run not in dead]
        rest = f" ({', '.join(alive)} may still be training)" if alive else ""
        return (
            f"A worker of hydra/launcher={self.name} was killed, for example for lack of memory, and with it "
            f"{', '.join(dead) or 'a run that had not begun'}{rest}. To resume: the same command with "
            f"{to_paste('hydra.sweep.dir', os.path.relpath(self.folder))}"
        )


def launcher_name(config: DictConfig) -> str:
    """Name of the launcher of a sweep: `basic`, `joblib`, `submitit_slurm`, ..."""
    return config.hydra.runtime.choices["hydra/launcher"] or "basic"


class ComposedOnce:
    """Config loader that gives each config of the first runs, which Hydra composes to check it, to the run as well.

    Args:
        loader: Composes the configs.
    """

    def __init__(self, loader: ConfigLoader) -> None:
        self._loader = loader
        self._checked: deque[tuple[Sequence[str], DictConfig]] = deque()
        self._checking = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    @contextmanager
    def checking(self) -> Iterator[None]:
        """Keep the configs that are composed within the block, for the runs, which follow in the same order."""
        self._checked.clear()
        self._checking = True
        try:
            yield
        finally:
            self._checking = False

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """The config of a run with these overrides."""
        if not self._checking and self._checked and self._checked[0][0] == sweep_overrides:
            return self._checked.popleft()[1]
        config = self._loader.load_sweep_config(master_config, sweep_overrides)
        if self._checking and len(self._checked) < MAX_CHECKED:
            self._checked.append((sweep_overrides, config))
        return config


def check_settings(folder: Path, jobs: Sequence[Sequence[str]], first: int) -> None:
    """Refuse to resume a sweep with settings that differ from those of its runs, before any run starts.

    Args:
        folder: The folder of the sweep.
        jobs: Overrides of each run.
        first: Number of the first run.

    Raises:
        ConfigError: A run in the folder had other settings, and `allow_changes` is false; or another model, other
            data or another seed.
    """
    for number, overrides in enumerate(jobs, first):
        recorded = read_overrides(folder / str(number))
        if not isinstance(recorded, list) or not (folder / str(number) / "config.yaml").is_file():
            continue  # no run has trained there, or each key is compared when it is resumed
        before, now = _typed(map(str, recorded)), _typed(overrides)
        differing = [key for key in {**before, **now} if before.get(key) != now.get(key) and _alters(key)]
        kept = any(first_key(key) in KEPT for key in differing)
        if differing and (kept or now.get("allow_changes", "false").lower() != "true"):
            changes = ", ".join(
                f"{key}={before.get(key, '(not given)')} (now {now.get(key, 'not given')})" for key in differing
            )
            accepted = "" if kept else "; or allow_changes=true to resume with the new ones"
            raise ConfigError(
                f"hydra.sweep.dir={folder} holds a run {number} with {changes}: give the settings and lists of "
                "this sweep, where only the first list may have new values at its end; or another hydra.sweep.dir for "
                f"another sweep{accepted}."
            )


def _typed(overrides: Iterable[str]) -> dict[str, str]:
    """Overrides by key."""
    return {key.lstrip("+"): value for key, _, value in (override.partition("=") for override in overrides)}


def _alters(key: str) -> bool:
    """Whether the key may affect training; each run compares the content of its data instead of the path."""
    from gan_lab.training.changes import MAY_CHANGE, PATHS_OF_DATA  # which loads torch

    return not key.startswith((*MAY_CHANGE, *NOT_TRAINING, *PATHS_OF_DATA)) and f"{key}." not in MAY_CHANGE
