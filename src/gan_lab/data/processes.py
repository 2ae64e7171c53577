"""Where a data module finds itself among the processes of a run."""

from dataclasses import dataclass, field

import torch
from lightning.pytorch import Trainer


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Args:
        rank: Number of this process.
        world: Number of processes.
        on_this_machine: How many of them share this machine's memory.
        device: Where this process trains.
    """

    rank: int = 0
    world: int = 1
    on_this_machine: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @classmethod
    def of(cls, trainer: Trainer | None) -> "Processes":
        """What the trainer says; without one, a single process on the CPU."""
        if trainer is None:
            return cls()
        return cls(
            rank=trainer.global_rank,
            world=trainer.world_size,
            on_this_machine=max(1, trainer.world_size // trainer.num_nodes),
            device=trainer.strategy.root_device,
        )
