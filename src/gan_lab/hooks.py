"""Calls of the hooks of callbacks and of the module that define them, and of no others.

Lightning calls every hook of every callback, and for each it writes a message and a name for the profiler.
"""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from torch import Tensor


def call_hooks(trainer: Any, name: str, *arguments: Any) -> None:
    """Call a hook of the callbacks, then that of the module, as Lightning does."""
    module = trainer.lightning_module
    before = module._current_fx_name
    module._current_fx_name = name  # for `self.log`
    for callback in trainer.callbacks:
        if is_defined(callback, name, Callback):
            with trainer.profiler.profile(f"[Callback]{callback.state_key}.{name}"):
                getattr(callback, name)(trainer, module, *arguments)
    if is_defined(module, name, LightningModule):
        with trainer.profiler.profile(f"[LightningModule]{type(module).__name__}.{name}"):
            getattr(module, name)(*arguments)
    module._current_fx_name = before


def is_defined(instance: object, name: str, base: type) -> bool:
    """Whether the class of an object, or the object itself, has another hook than the empty one of the base class."""
    if name in vars(instance):
        return callable(getattr(instance, name))
    return getattr(type(instance), name) is not getattr(base, name)


class DirectPrecision(Precision):
    """Precision that calls the hooks of an update by `call_hooks`."""

    def pre_backward(self, tensor: Tensor, module: Any) -> Tensor:
        """Called by Lightning before the backward pass."""
        call_hooks(module.trainer, "on_before_backward", tensor)
        return tensor

    def post_backward(self, tensor: Tensor, module: Any) -> Tensor:
        """Called by Lightning after the backward pass."""
        call_hooks(module.trainer, "on_after_backward")
        return tensor.detach()

    def _after_closure(self, model: Any, optimizer: Any) -> None:
        trainer = model.trainer
        call_hooks(trainer, "on_before_optimizer_step", optimizer)
        algorithm = trainer.gradient_clip_algorithm
        self._clip_gradients(model, optimizer, trainer.gradient_clip_val, gradient_clip_algorithm=algorithm)


class DirectMixedPrecision(MixedPrecision, DirectPrecision):
    """The same in half precision, with its loss scaler."""


DirectMixedPrecision.__qualname__ = MixedPrecision.__qualname__  # the key of the scaler's state in checkpoints


def use_direct_precision(trainer: Trainer) -> None:
    """Replace the precision of the trainer, unless it is one with hooks of its own."""
    precision: Any = trainer.precision_plugin
    kind = type(precision)
    if kind is Precision:
        trainer.strategy.precision_plugin = DirectPrecision()
    elif kind is MixedPrecision:
        direct = DirectMixedPrecision(precision.precision, precision.device, precision.scaler)
        trainer.strategy.precision_plugin = direct
