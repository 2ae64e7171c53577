"""Base class of callbacks whose hooks take an algorithm of gan_lab."""

from typing import TYPE_CHECKING, Any

import lightning.pytorch

# Lightning types its hooks for any LightningModule, which a subclass may not narrow: the base is hidden from type
# checkers.
_Base: Any = lightning.pytorch.Callback


class Callback(_Base):
    """Lightning callback whose subclasses may type the argument `module` as `AdversarialModule`.

    `trainer` is untyped as well: Lightning's type has no `datamodule`, `callbacks` and `profiler`.
    """

    def check(self, module: Any, data: Any) -> None:
        """Refuse a run that this callback would end later; called before anything of the run is recorded.

        Args:
            module: The algorithm.
            data: Its data.

        Raises:
            ConfigError: A setting does not fit the run.
        """

    if TYPE_CHECKING:  # at run time they are not defined, and not called

        def on_fit_start(self, trainer: Any, module: Any) -> None: ...
        def on_fit_end(self, trainer: Any, module: Any) -> None: ...
        def on_train_start(self, trainer: Any, module: Any) -> None: ...
        def on_train_batch_end(self, trainer: Any, module: Any, *batch: Any) -> None: ...
        def on_train_end(self, trainer: Any, module: Any) -> None: ...
        def on_exception(self, trainer: Any, module: Any, exception: BaseException) -> None: ...
        def on_save_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None: ...
        def on_load_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None: ...
