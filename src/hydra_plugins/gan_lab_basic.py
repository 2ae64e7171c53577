"""`hydra/sweeper=basic`: all combinations of several values. In this package because Hydra searches it for plugins."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf
from hydra.core.config_store import ConfigStore
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class CombinationSweeper(BasicSweeper):
    """Hydra's basic sweeper; runs of `gan-lab train` are stopped together by a signal and can be resumed."""

    checking: Callable[[], AbstractContextManager[None]] = nullcontext

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`."""
        from gan_lab.sweeps.launcher import ComposedOnce, launcher_name, watched
        from gan_lab.sweeps.signals import IN_THIS_PROCESS

        if launcher_name(config) in IN_THIS_PROCESS:  # the others send the context to their processes
            loader: Any = ComposedOnce(hydra_context.config_loader)
            hydra_context = HydraContext(loader, hydra_context.callbacks)
            self.checking = loader.checking
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        assert self.launcher is not None
        self.launcher = watched(self.launcher, config)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Called by Hydra before the runs of a batch."""
        with self.checking():
            super().validate_batch_is_legal(batch)


@dataclass
class Combinations(BasicSweeperConf):
    """Config of `hydra.sweeper`; replaces Hydra's own, which is registered earlier."""

    _target_: str = "hydra_plugins.gan_lab_basic.CombinationSweeper"


ConfigStore.instance().store(group="hydra/sweeper", name="basic", node=Combinations, provider="gan_lab")
