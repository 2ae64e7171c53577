"""A logger whose server is unreachable at the end of the run. Used by test_wandb.py."""

from types import SimpleNamespace
from typing import Any

from lightning.pytorch.loggers import Logger


class Vanished(Logger):
    """Accepts all rows and raises when its experiment is finished, as Lightning's `WandbLogger` may."""

    name = "vanished"
    version = 0

    @property
    def experiment(self) -> Any:
        def finish() -> None:
            raise ConnectionError("gone")

        return SimpleNamespace(finish=finish)

    def log_metrics(self, *_: Any, **__: Any) -> None: ...

    def log_hyperparams(self, *_: Any, **__: Any) -> None: ...
