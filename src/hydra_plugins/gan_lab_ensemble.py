"""`hydra/launcher=ensemble`: runs that differ only in seeds and numbers train at once. Hydra searches this package."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hydra._internal.core_plugins.basic_launcher import BasicLauncher, BasicLauncherConf
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, configure_log, run_job, setup_globals
from omegaconf import DictConfig, open_dict

log = logging.getLogger(__name__)


class EnsembleLauncher(BasicLauncher):
    """Hydra's basic launcher, which trains groups of runs at once; the others train one by one.

    Args:
        members: Largest number of runs that train at once.
    """

    def __init__(self, members: int) -> None:
        super().__init__()
        if members < 1:
            from gan_lab.errors import ConfigError

            raise ConfigError(f"hydra.launcher.members={members} is not allowed: it must be at least 1.")
        self.members = members

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Train the runs; see `WatchedLauncher.launch`."""
        from gan_lab.sweeps.ensemble import groups, train_group

        assert self.config is not None
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        configs = [self._config(overrides, number) for number, overrides in enumerate(job_overrides, initial_job_idx)]
        returns: dict[int, JobReturn] = {}
        for group in groups(configs, self.members):
            jobs = [partial(self._run, configs[number]) for number in group]
            if len(group) > 1:
                log.info("Runs %s train at once.", ", ".join(str(initial_job_idx + number) for number in group))
            found = train_group(jobs) if len(jobs) > 1 else [jobs[0]()]
            returns.update(zip(group, found, strict=True))
            configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        return [returns[number] for number in range(len(configs))]

    def _config(self, overrides: Sequence[str], number: int) -> DictConfig:
        assert self.hydra_context is not None and self.config is not None
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return config

    def _run(self, config: DictConfig) -> JobReturn:
        assert self.hydra_context is not None and self.task_function is not None
        return run_job(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


@dataclass
class Ensemble(BasicLauncherConf):
    """Config of `hydra.launcher`."""

    _target_: str = "hydra_plugins.gan_lab_ensemble.EnsembleLauncher"
    members: int = 8


ConfigStore.instance().store(group="hydra/launcher", name="ensemble", node=Ensemble, provider="gan_lab")
