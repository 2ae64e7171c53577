"""Distributed data parallel training of GANs: only the gradients of the updated player are averaged."""

from collections.abc import Callable
from typing import Any, cast

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry
from torch.optim import Optimizer

from gan_lab.errors import is_out_of_memory
from gan_lab.gans.base import AdversarialModule
from gan_lab.interrupts import blocked
from gan_lab.processes import average_over_processes, max_over_processes

BY_PLAYER = "ddp_by_player"
"""Name of the strategy in `hardware.strategy`."""

OUT_OF_MEMORY = 1
"""Status that a process sends before a step instead of 0 if it ran out of memory."""


class _OutOfMemoryElsewhere(torch.OutOfMemoryError):
    """Another process ran out of memory, so this one stops as well."""


class PlayerDDP(DDPStrategy):
    """One process for each device, as Lightning's `ddp`, with one all-reduce for each update of a player.

    PyTorch's wrapper reduces the gradients of all networks in every backward pass: zeros for networks that are not
    updated, and again for every micro-batch. Here backward passes are local, and the gradients of the player are
    averaged once before its step. This is also before a loss scaler checks for infinities, so all processes skip the
    same steps. The all-reduce follows the backward pass and does not overlap with it.

    Running statistics of the player's batch norms are averaged in the same all-reduce; PyTorch's wrapper broadcasts
    those of the first process instead. All processes start with the weights and buffers of the first.

    If a process runs out of memory in a backward pass, it reports this before the others wait for its gradients, and
    all processes raise `torch.OutOfMemoryError`. This costs a reduction of one number for each update.

    The same parameters must have a gradient in all processes. This holds if all run the same phases on parts of one
    batch; an algorithm where it depends on the samples needs `hardware.strategy=ddp_find_unused_parameters_true`.
    """

    strategy_name = BY_PLAYER

    def configure_ddp(self) -> None:
        """Broadcast the weights and buffers of the first process; no wrapper is used."""
        module = cast(AdversarialModule, self.model)
        for tensor in [*module.parameters(), *module.buffers()]:
            torch.distributed.broadcast(tensor.data, 0)

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Run one training step, and report if memory runs out."""
        try:
            return super().training_step(*args, **kwargs)
        except _OutOfMemoryElsewhere:
            raise
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            max_over_processes(OUT_OF_MEMORY)
            raise

    def optimizer_step(self, optimizer: Optimizer, closure: Callable[[], Any], model: Any = None, **kwargs: Any) -> Any:
        """Average gradients and statistics over the processes, and step."""
        if max_over_processes(0) == OUT_OF_MEMORY:
            raise _OutOfMemoryElsewhere("Another process has run out of memory.")
        average_over_processes(cast(AdversarialModule, self.lightning_module).runner.tensors_to_average())
        return super().optimizer_step(optimizer, closure, model, **kwargs)


def hold_back_signals_of_children(trainer: Trainer) -> None:
    """Let the processes that a trainer starts hold back stop signals until they train, and can stop with the others.

    One that ends while it loads its libraries would make Lightning kill all of them, without a checkpoint.
    """
    launcher: Any = trainer.strategy.launcher
    start = getattr(launcher, "_call_children_scripts", None)
    if start is not None:
        launcher._call_children_scripts = blocked()(start)


def register_strategies() -> None:
    """Register the strategy with Lightning; may be called repeatedly."""
    if BY_PLAYER not in StrategyRegistry:
        StrategyRegistry.register(BY_PLAYER, PlayerDDP, description="averages only the gradients of the updated player")
