"""Calls of the hooks of callbacks and of the module without Lightning's search for them at every batch."""

from collections.abc import Callable
from functools import partial
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor

OF_AN_UPDATE = ("on_before_backward", "on_after_backward", "on_before_optimizer_step")
"""Hooks that Lightning calls for each update of a player."""


class DefinedHooks:
    """The hooks that the callbacks of a trainer and its module define.

    Lightning calls every hook of every callback, and for each it writes a message and a name for the profiler.

    Args:
        trainer: With its callbacks; those that are added later are not called.
        names: The hooks.
    """

    def __init__(self, trainer: Trainer, names: tuple[str, ...]) -> None:
        self.trainer: Any = trainer
        self.module = trainer.lightning_module
        self._calls = {name: self._found(name) for name in names}

    def _found(self, name: str) -> list[tuple[str, Callable[..., Any]]]:
        callbacks = [each for each in self.trainer.callbacks if is_overridden(name, each, Callback)]
        calls: list[tuple[str, Callable[..., Any]]] = [
            (f"[Callback]{each.state_key}.{name}", partial(getattr(each, name), self.trainer, self.module))
            for each in callbacks
        ]
        if is_overridden(name, self.module, LightningModule):
            calls.append((f"[LightningModule]{type(self.module).__name__}.{name}", getattr(self.module, name)))
        return calls

    def call(self, name: str, *arguments: Any) -> None:
        """Call a hook of the callbacks, then that of the module, as Lightning does."""
        if not self._calls[name]:
            return
        before = self.module._current_fx_name
        self.module._current_fx_name = name  # for `self.log`
        for action, hook in self._calls[name]:
            with self.trainer.profiler.profile(action):
                hook(*arguments)
        self.module._current_fx_name = before


class DirectPrecision(Precision):
    """Precision whose hooks of an update are called by `DefinedHooks`."""

    hooks: DefinedHooks

    def pre_backward(self, tensor: Tensor, module: Any) -> Tensor:
        """Called by Lightning before the backward pass."""
        self.hooks.call("on_before_backward", tensor)
        return tensor

    def post_backward(self, tensor: Tensor, module: Any) -> Tensor:
        """Called by Lightning after the backward pass."""
        self.hooks.call("on_after_backward")
        return tensor.detach()

    def _after_closure(self, model: Any, optimizer: Any) -> None:
        self.hooks.call("on_before_optimizer_step", optimizer)


class DirectMixedPrecision(MixedPrecision, DirectPrecision):
    """The same in half precision, with its loss scaler."""


def use_direct_precision(trainer: Trainer) -> None:
    """Replace the precision of the trainer, unless it is one with hooks of its own."""
    precision: Any = trainer.precision_plugin
    kind = type(precision)
    if kind is Precision:
        trainer.strategy.precision_plugin = DirectPrecision()
    elif kind is MixedPrecision:
        direct = DirectMixedPrecision(precision.precision, precision.device, precision.scaler)
        trainer.strategy.precision_plugin = direct
