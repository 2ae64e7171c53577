"""`hydra/sweeper=optuna`: searches for the settings with the best objective. It stands here since Hydra looks for plugins here.

Hydra imports it with every command, so Optuna is imported when a search begins.
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

from gan_lab.errors import ConfigError, TrainingError, UserError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

log = logging.getLogger(__name__)

SAMPLERS = {"tpe": "TPESampler", "random": "RandomSampler", "qmc": "QMCSampler"}
"""Words of `hydra.sweeper.sampler` to classes of `optuna.samplers`."""


class OptunaSweeper(Sweeper):
    """Asks Optuna for settings, trains with them, and tells it what `objective` was, or that the run failed.

    What is searched is written as Hydra writes sweeps, in `params` or on the command line: `a,b` or `choice(a,b)`,
    `range(1,8)`, `interval(0,1)`, `int(interval(1,64))`, `tag(log,interval(1e-5,1e-2))`.

    With a storage a search that was stopped goes on: finished trials are kept, and those that had begun go on in their
    folders, whose names are the trials' numbers. One process at a time has a storage.

    Args:
        params: Settings that are searched, by key.
        trials: In all, those in the storage included.
        at_once: Trials that the launcher is given at a time.
        sampler: A key of `SAMPLERS`.
        seed: Of the sampler.
        study: Name of the search in its storage.
        storage: A file, which is made, or the URL of a database; None for the memory of this process.
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
        from gan_lab.config.launching import watched

        self.launcher = watched(launcher, config)

    def sweep(self, arguments: list[str]) -> None:
        """Search until there are enough trials.

        Args:
            arguments: What was typed: settings of all trials, and further ones to search.

        Raises:
            ConfigError: Nothing is searched, or Optuna or the storage cannot be used.
        """
        fixed, searched = self._parse([*(f"{key}={value}" for key, value in self.params.items()), *arguments])
        folder = Path(self.config.hydra.sweep.dir)
        with self._alone(folder) as study:
            OmegaConf.save(self.config, folder / "multirun.yaml")
            for batch in self._batches(study, searched):
                overrides = [[*fixed, *(f"{key}={value}" for key, value in params.items())] for _, params in batch]
                self.validate_batch_is_legal(overrides)
                for (number, _), value in zip(batch, self._launch(overrides, batch[0][0]), strict=True):
                    _tell(study, number, value)
            _conclude(study, folder)

    def _parse(self, words: Sequence[str]) -> tuple[list[str], dict[str, BaseDistribution]]:
        """Settings of all trials, and distributions of those that are searched; a later word replaces an earlier one."""
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        by_key = {override.get_key_element(): override for override in parser.parse_overrides(list(words))}
        fixed = [
            override.input_line or f"{key}={override.get_value_element_as_str()}"
            for key, override in by_key.items()
            if not override.is_sweep_override()
        ]
        searched = {key: distribution(override) for key, override in by_key.items() if override.is_sweep_override()}
        if not searched:
            raise ConfigError(
                "hydra/sweeper=optuna has nothing to search: give settings with several values, as in lr=interval(1e-5,1e-3)."
            )
        return fixed, searched

    @contextmanager
    def _alone(self, folder: Path) -> Iterator[Study]:
        """The search, which nobody else goes on with at the same time."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.storage is None or "://" in self.storage:  # a database is shared by those who want to
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
        from gan_lab.config.objective import objective_mode

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
        except Exception as error:  # whatever a database says
            raise ConfigError(
                f"hydra.sweeper.storage={self.storage} cannot be used: {str(error).splitlines()[0]}."
            ) from error
        if study.direction.name.lower() != direction:
            raise ConfigError(
                f"objective.mode={objective_mode(self.config)} is not that of {self.storage}: give the one that the search "
                "began with, or another hydra.sweeper.study."
            )
        # Another seed than that of the trials which are there: their random draws would come again.
        study.sampler = getattr(optuna.samplers, SAMPLERS[self.sampler])(seed=self.seed + len(study.trials))
        return study

    def _batches(
        self, study: Study, searched: dict[str, BaseDistribution]
    ) -> Iterator[list[tuple[int, dict[str, Any]]]]:
        """Numbers and settings of the trials that are next: those that had begun before, then new ones."""
        from optuna.trial import TrialState

        begun = [(trial.number, trial.params) for trial in study.trials if trial.state == TrialState.RUNNING]
        if begun:
            log.info("%d trials that had begun go on.", len(begun))
        yield from _adjacent(begun, self.at_once)
        while (missing := self.trials - len(study.trials)) > 0:
            try:
                asked = [study.ask(searched) for _ in range(min(self.at_once, missing))]
            except ValueError as error:
                raise ConfigError(
                    f"hydra.sweeper.study={self.study} in {self.storage} has other settings to search: {error}; give another study."
                ) from error
            yield from _adjacent([(trial.number, trial.params) for trial in asked], self.at_once)

    def _launch(self, overrides: list[list[str]], first: int) -> list[float | None]:
        """Objectives of the runs, None for those that failed."""
        try:
            returns = self.launcher.launch(overrides, initial_job_idx=first)
            return [result.return_value for result in returns]
        except UserError:  # nothing was begun
            raise
        except Exception as error:  # a worker was killed, and with it all that this launcher had started
            from gan_lab.config.trials import note_failure

            told = isinstance(error, TrainingError)
            reason = str(error) if told else f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            log.error("Trials %d to %d failed: %s", first, first + len(overrides) - 1, reason)
            for number in range(first, first + len(overrides)):
                note_failure(Path(self.config.hydra.sweep.dir) / str(number), reason)
            return [None] * len(overrides)


def distribution(override: Override) -> BaseDistribution:
    """Optuna's word for what Hydra calls a sweep.

    Raises:
        ConfigError: The override sweeps in a way that cannot be searched.
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


def _adjacent(trials: Sequence[tuple[int, Any]], at_once: int) -> Iterator[list[tuple[int, Any]]]:
    """At most `at_once` trials at a time, whose numbers follow each other, as launchers count."""
    for _, alike in itertools.groupby(enumerate(trials), key=lambda item: item[1][0] - item[0]):
        group = [trial for _, trial in alike]
        yield from (group[start : start + at_once] for start in range(0, len(group), at_once))


def _tell(study: Study, number: int, value: float | None) -> None:
    from optuna.trial import TrialState

    if value is None:
        study.tell(number, state=TrialState.FAIL)
    else:
        study.tell(number, value)


def _conclude(study: Study, folder: Path) -> None:
    """Write `search.yaml` and say what was best."""
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
