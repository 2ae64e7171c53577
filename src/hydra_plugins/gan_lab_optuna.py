"""`hydra/sweeper=optuna`: search for the settings with the best objective. Hydra searches this package for plugins.

Hydra imports it with every command, so Optuna is imported only when a search starts.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from gan_lab.errors import ConfigError, UserError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

log = logging.getLogger(__name__)

SAMPLERS = {"tpe": "TPESampler", "random": "RandomSampler", "qmc": "QMCSampler"}
"""Values of `hydra.sweeper.sampler` and their classes in `optuna.samplers`."""


class OptunaSweeper(Sweeper):
    """Sweeper that trains with the settings Optuna proposes, and reports the objective or the failure of each run.

    Search spaces are written in Hydra's sweep syntax, in `params` or on the command line: `a,b` or `choice(a,b)`,
    `range(1,8)`, `interval(0,1)`, `int(interval(1,64))`, `tag(log,interval(1e-5,1e-2))`.

    With a storage, a stopped search can be resumed: finished trials are kept, and started trials resume in their
    folders, which are named by trial number. Only one process at a time may use a storage file.

    Args:
        params: Search spaces by config key.
        trials: Total number of trials, including those in the storage.
        at_once: Trials per call of the launcher.
        sampler: A key of `SAMPLERS`.
        seed: Seed of the sampler.
        study: Name of the study in the storage.
        storage: A file, created if missing, or the URL of a database; None to keep the study in memory.
    """

    def __init__(
        self,
        params: Mapping[str, str] | None,
        trials: int,
        at_once: int,
        sampler: str,
        seed: int,
        study: str,
        storage: str | None,
    ) -> None:
        for name, value in {"trials": trials, "at_once": at_once}.items():
            if value < 1:
                raise ConfigError(f"hydra.sweeper.{name}={value} is not allowed: it must be at least 1.")
        if sampler not in SAMPLERS:
            raise ConfigError(f"hydra.sweeper.sampler={sampler} is not known: choose from {', '.join(SAMPLERS)}.")
        self.params = dict(params or {})
        self.trials = trials
        self.at_once = at_once
        self.sampler = sampler
        self.seed = seed
        self.study = study
        self.storage = storage
        self.config: DictConfig
        self.hydra_context: HydraContext
        self.launcher: Launcher

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`."""
        self.config = config
        self.hydra_context = hydra_context
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        from gan_lab.sweeps.launcher import watched

        self.launcher = watched(launcher, config)

    def sweep(self, arguments: list[str]) -> None:
        """Search until there are enough trials.

        Args:
            arguments: Overrides: settings of all trials, and additional search spaces.

        Raises:
            ConfigError: There is no search space, or Optuna or the storage cannot be used.
        """
        fixed, searched = self._parse([*(f"{key}={value}" for key, value in self.params.items()), *arguments])
        folder = Path(self.config.hydra.sweep.dir)
        with self._locked_study(folder) as study:
            OmegaConf.save(self.config, folder / "multirun.yaml")
            for batch in self._batches(study, searched):
                overrides = [[*fixed, *(f"{key}={value}" for key, value in params.items())] for _, params in batch]
                self.validate_batch_is_legal(overrides)
                for (number, _), value in zip(batch, self._launch(overrides, batch[0][0]), strict=True):
                    _report(study, number, value)
            _conclude(study, folder)

    def _parse(self, arguments: Sequence[str]) -> tuple[list[str], dict[str, BaseDistribution]]:
        """Settings of all trials, and distributions of the search spaces; later overrides replace earlier ones."""
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        by_key = {override.get_key_element(): override for override in parser.parse_overrides(list(arguments))}
        fixed = [
            override.input_line or f"{key}={override.get_value_element_as_str()}"
            for key, override in by_key.items()
            if not override.is_sweep_override()
        ]
        searched = {key: distribution(override) for key, override in by_key.items() if override.is_sweep_override()}
        if not searched:
            raise ConfigError(
                "hydra/sweeper=optuna has nothing to search: give settings with several values, as in "
                "lr=interval(1e-5,1e-3)."
            )
        return fixed, searched

    @contextmanager
    def _locked_study(self, folder: Path) -> Iterator[Study]:
        """The study, locked against use by another process."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.storage is None or "://" in self.storage:  # a database may be used by several processes
            yield self._study()
            return
        file = Path(self.storage)
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(file.with_name(f".{file.name}.in_use"), timeout=0).acquire()
        except Timeout:
            raise ConfigError(
                f"hydra.sweeper.storage={file} is in use by another search: wait until it has ended."
            ) from None
        with lock:
            yield self._study()

    def _study(self) -> Study:
        try:
            optuna: Any = import_module("optuna")
        except ImportError as error:
            raise ConfigError('hydra/sweeper=optuna needs Optuna: pip install "gan-lab-lightning[sweep]".') from error
        from gan_lab.reports.objective import objective_mode

        if "objective" not in self.config:
            raise ConfigError("hydra/sweeper=optuna is for gan-lab train: other commands have no objective.")
        direction = {"min": "minimize", "max": "maximize"}[objective_mode(self.config)]
        storage: Any = self.storage
        if storage is not None and "://" not in storage:
            storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(storage))
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            study = optuna.create_study(
                storage=storage, study_name=self.study, direction=direction, load_if_exists=self.storage is not None
            )
        except Exception as error:  # databases raise errors of their own
            raise ConfigError(
                f"hydra.sweeper.storage={self.storage} cannot be used: {str(error).splitlines()[0]}."
            ) from error
        if study.direction.name.lower() != direction:
            raise ConfigError(
                f"objective.mode={objective_mode(self.config)} is not that of {self.storage}: give the mode of this "
                "search, or another hydra.sweeper.study."
            )
        # Not the seed of the existing trials, whose random draws would be repeated.
        study.sampler = getattr(optuna.samplers, SAMPLERS[self.sampler])(seed=self.seed + len(study.trials))
        return study

    def _batches(
        self, study: Study, searched: dict[str, BaseDistribution]
    ) -> Iterator[list[tuple[int, dict[str, Any]]]]:
        """Numbers and settings of the next trials: first those that were started before, then new ones."""
        from optuna.trial import TrialState

        running = [trial for trial in study.trials if trial.state == TrialState.RUNNING]
        for trial in running:
            if trial.params.keys() != searched.keys():  # killed while they were stored: defaults would take their place
                study.tell(trial.number, state=TrialState.FAIL)
                log.warning("Trial %d has no value of each searched key and is replaced by a new one.", trial.number)
        begun = [(trial.number, trial.params) for trial in running if trial.params.keys() == searched.keys()]
        if begun:
            log.info("Resuming %d started trials.", len(begun))
        yield from _consecutive(begun, self.at_once)
        replaced = sum(
            trial.state == TrialState.FAIL and trial.params.keys() != searched.keys() for trial in study.trials
        )
        while (missing := self.trials + replaced - len(study.trials)) > 0:
            try:
                asked = [study.ask(searched) for _ in range(min(self.at_once, missing))]
            except ValueError as error:
                raise ConfigError(
                    f"hydra.sweeper.study={self.study} in {self.storage} has other search spaces: {error}; "
                    "give another study."
                ) from error
            yield from _consecutive([(trial.number, trial.params) for trial in asked], self.at_once)

    def _launch(self, overrides: list[list[str]], first: int) -> list[float | None]:
        """Objectives of the runs; None for failed runs."""
        try:
            returns = self.launcher.launch(overrides, initial_job_idx=first)
            return [result.return_value for result in returns]
        except UserError:  # no run was started
            raise
        except Exception as error:  # a worker was killed, and with it all runs of this call
            from gan_lab.config.messages import reason
            from gan_lab.runs.state import note_failure

            why = reason(error, "train")
            log.error("Trials %d to %d failed: %s", first, first + len(overrides) - 1, why)
            for number in range(first, first + len(overrides)):
                note_failure(Path(self.config.hydra.sweep.dir) / str(number), why)
            return [None] * len(overrides)


def distribution(override: Override) -> BaseDistribution:
    """Optuna distribution of a sweep override.

    Raises:
        ConfigError: This kind of sweep cannot be searched.
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    if isinstance(value, (IntervalSweep, RangeSweep)):
        log_scale = "log" in value.tags
        try:
            if isinstance(value, RangeSweep):
                last = value.stop - value.step  # type: ignore[operator]
                if isinstance(last, int):
                    return IntDistribution(int(value.start), last, log_scale, int(value.step))  # type: ignore[arg-type]
                return FloatDistribution(float(value.start), last, step=value.step)  # type: ignore[arg-type]
            if isinstance(value.start, int) and isinstance(value.end, int):
                return IntDistribution(value.start, value.end, log_scale)
            return FloatDistribution(float(value.start), float(value.end), log_scale)  # type: ignore[arg-type]
        except ValueError as error:
            raise ConfigError(f"{override.input_line} cannot be searched: {str(error).rstrip('.')}.") from error
    if override.is_choice_sweep() and (choices := list(override.sweep_string_iterator())):
        return CategoricalDistribution(choices)
    raise ConfigError(f"{override.input_line} cannot be searched: write choice(...), range(...) or interval(...).")


def _consecutive(trials: Sequence[tuple[int, Any]], at_once: int) -> Iterator[list[tuple[int, Any]]]:
    """Batches of at most `at_once` trials with consecutive numbers, which launchers require."""
    for _, alike in itertools.groupby(enumerate(trials), key=lambda item: item[1][0] - item[0]):
        group = [trial for _, trial in alike]
        yield from (group[start : start + at_once] for start in range(0, len(group), at_once))


def _report(study: Study, number: int, value: float | None) -> None:
    from optuna.trial import TrialState

    if value is None:
        study.tell(number, state=TrialState.FAIL)
    else:
        study.tell(number, value)


def _conclude(study: Study, folder: Path) -> None:
    """Write `search.yaml` and log the best trial."""
    from optuna.trial import TrialState

    done = study.get_trials(states=[TrialState.COMPLETE])
    note: dict[str, Any] = {"trials": len(study.trials), "failed": len(study.trials) - len(done), "best": None}
    if done:
        best = study.best_trial
        note["best"] = {"run": str(folder / str(best.number)), "objective": best.value, "settings": best.params}
        settings = " ".join(f"{key}={value}" for key, value in best.params.items())
        log.info(
            "Best of %d trials: %s with %.6g, %s", len(study.trials), folder / str(best.number), best.value, settings
        )
    OmegaConf.save(note, folder / "search.yaml")
