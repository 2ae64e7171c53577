"""How processes share a batch: a Lightning strategy that sends the gradients of the moving player alone."""

from collections.abc import Callable
from typing import Any, cast

import torch
from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry
from torch.optim import Optimizer

from gan_lab.gans.base import AdversarialModule
from gan_lab.processes import average_over_processes, largest_of_processes

BY_PLAYER = "ddp_by_player"
"""What `hardware.strategy` calls it."""

OUT_OF_MEMORY = 1
"""What a process says instead of 0 where it cannot make the step."""


class _MemoryOfAnother(torch.OutOfMemoryError):
    """A process that could go on stops with one that cannot."""


class PlayerDDP(DDPStrategy):
    """One process for each device, as with Lightning's `ddp`; each move sends one message, with what its player learned.

    PyTorch's wrapper sends the gradients of all networks at every backward pass: those that do not move as zeros, and in
    every micro-batch anew. Here backward passes are local, and gradients are averaged once before the step. That is also
    before a loss scaler looks for infinities, so that all processes leave out the same steps. The message is sent when the
    backward pass is over, and not during it.

    The running statistics of the player's batch norms are in the same message: every process has the means over all of
    them, where the wrapper gives everyone the first one's. The first process has the initial weights and buffers.

    A process that runs out of memory in a backward pass tells the others before they wait for its gradients, and all of them
    raise `torch.OutOfMemoryError`. It costs a message of one number for each move, between the hosts.

    Which parameters have a gradient must be the same on all processes. So it is where all play the same phases on shares of
    one batch; a game in which it depends on the samples needs `hardware.strategy=ddp_find_unused_parameters_true`.
    """

    strategy_name = BY_PLAYER

    def configure_ddp(self) -> None:
        """Give every process the weights and buffers of the first; there is no wrapper."""
        module = cast(AdversarialModule, self.model)
        for tensor in [*module.parameters(), *module.buffers()]:
            torch.distributed.broadcast(tensor.data, 0)

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Play a batch."""
        try:
            return super().training_step(*args, **kwargs)
        except _MemoryOfAnother:
            raise
        except torch.OutOfMemoryError:
            largest_of_processes(OUT_OF_MEMORY)
            raise

    def optimizer_step(self, optimizer: Optimizer, closure: Callable[[], Any], model: Any = None, **kwargs: Any) -> Any:
        """Average what the player learned of the shares of the batch, and step."""
        if largest_of_processes(0) == OUT_OF_MEMORY:
            raise _MemoryOfAnother("Another process has run out of memory.")
        average_over_processes(cast(AdversarialModule, self.lightning_module).runner.learned())
        return super().optimizer_step(optimizer, closure, model, **kwargs)


def register_strategies() -> None:
    """Make these strategies known to Lightning by their names. May be called again."""
    if BY_PLAYER not in StrategyRegistry:
        StrategyRegistry.register(BY_PLAYER, PlayerDDP, description="sends the gradients of the moving player alone")
