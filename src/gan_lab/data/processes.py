"""Rank and device of a data module's process within a run."""

from dataclasses import dataclass, field

import torch
from lightning.pytorch import Trainer


@dataclass(frozen=True)
class Processes:
    """This process and the number of processes that train together.

    Args:
        rank: Index of this process.
        world: Number of processes.
        on_this_machine: Number of processes on this machine.
        device: Training device of this process.
    """

    rank: int = 0
    world: int = 1
    on_this_machine: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @classmethod
    def of(cls, trainer: Trainer | None) -> "Processes":
        """The processes of a trainer; without one, a single process on the CPU."""
        if trainer is None:
            return cls()
        return cls(
            rank=trainer.global_rank,
            world=trainer.world_size,
            on_this_machine=max(1, trainer.world_size // trainer.num_nodes),
            device=trainer.strategy.root_device,
        )
