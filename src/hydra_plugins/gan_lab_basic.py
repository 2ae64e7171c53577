"""`hydra/sweeper=basic`: every combination of what has several values. It stands here since Hydra looks for plugins here."""

from dataclasses import dataclass

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class CombinationSweeper(BasicSweeper):
    """Hydra's own, whose runs of `gan-lab train` end together at a signal, and go on together in their folder."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`."""
        from gan_lab.config.launching import watched

        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        assert self.launcher is not None
        self.launcher = watched(self.launcher, config)


@dataclass
class Combinations(BasicSweeperConf):
    """`hydra.sweeper`, in the place of Hydra's own, which Hydra has registered when it comes here."""

    _target_: str = "hydra_plugins.gan_lab_basic.CombinationSweeper"


ConfigStore.instance().store(group="hydra/sweeper", name="basic", node=Combinations, provider="gan_lab")
