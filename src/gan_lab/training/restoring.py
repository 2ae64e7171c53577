"""Restoring the state of a run: a checkpoint that does not fit the run is reported with the name of its file."""

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Number
from typing import Any

from lightning.pytorch import Trainer
from torch import Tensor
from torch.optim import Optimizer

from gan_lab.callbacks.base import Callback
from gan_lab.errors import CheckpointError, UserError, is_out_of_memory
from gan_lab.training.resuming import Start

SHAPED = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "momentum_buffer", "square_avg", "grad_avg", "sum"}
"""State of PyTorch's optimizers that has the shape of its parameter."""

_MISFITS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class UnfitCheckpoint(CheckpointError):
    """A well-formed checkpoint whose contents do not fit the networks, optimizers or callbacks of the run."""


@contextmanager
def restoring(trainer: Trainer, start: Start | None) -> Iterator[None]:
    """Context manager around `trainer.fit`: errors before the first batch are blamed on the checkpoint.

    Raises:
        UnfitCheckpoint: The state in the checkpoint cannot be restored.
    """
    if start is None:
        yield
        return
    restored = _Restored()
    trainer.callbacks.insert(0, restored)  # type: ignore[attr-defined]
    try:
        yield
    except _MISFITS as error:
        # Lightning reads the file after it has started all processes, whose failures are not the checkpoint's.
        is_read = trainer.strategy.checkpoint_io.preloaded is None  # type: ignore[attr-defined]
        if restored.done or not is_read or isinstance(error, UserError) or is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split()).rstrip(".") or "no reason given"
        raise UnfitCheckpoint(
            f"{start.file} does not fit this run, or is damaged: {type(error).__name__}: {reason:.300}."
        ) from error


class _Restored(Callback):
    """Notes that a checkpoint was restored, after a check of what would only fail in the first step."""

    def __init__(self) -> None:
        self.done = False

    def on_load_checkpoint(self, trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
        states, players = len(checkpoint["optimizer_states"]), len(module.runner.players)
        if states != players:
            raise ValueError(f"it has the state of {states} optimizers, and the run has {players}")

    def on_train_start(self, trainer: Any, module: Any) -> None:
        for name, optimizer in zip(module.runner.players, trainer.optimizers, strict=True):
            _check(optimizer, name)
        self.done = True


def _check(optimizer: Optimizer, player: str) -> None:
    """Check the options and the shapes in the state of an optimizer.

    Raises:
        ValueError: They cannot be those of this optimizer.
    """
    for group in optimizer.param_groups:
        for name, usual in optimizer.defaults.items():
            if _is_number(usual) and not _is_number(group.get(name)):
                raise ValueError(f"{name} of the {player}'s optimizer is {group.get(name)!r:.40}")
    for parameter, state in optimizer.state.items():
        for name in SHAPED & state.keys():
            if isinstance(state[name], Tensor) and state[name].shape != parameter.shape:
                shapes = f"{tuple(state[name].shape)}, and its parameter {tuple(parameter.shape)}"
                raise ValueError(f"{name} of the {player}'s optimizer has the shape {shapes}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Number | Tensor) and not isinstance(value, bool)
