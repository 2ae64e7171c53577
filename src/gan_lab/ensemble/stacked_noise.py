"""Random streams of the members of an ensemble, for a function that `torch.vmap` maps over the members."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gan_lab.noise import Noise


class StackedNoise(Noise):
    """The random streams of all members: a draw gives each member the numbers of its own stream.

    Args:
        streams: One per member, with equally many rows.
        number: The member's number, int64 0-dim: the argument that `vmap` maps over.
    """

    def __init__(self, streams: Sequence[Noise], number: Tensor) -> None:
        first = streams[0]
        super().__init__(0, first.global_size, first.rows, first.device)
        self._streams = streams
        self._number = number

    def child(self, name: str) -> "StackedNoise":
        """See `Noise.child`."""
        return StackedNoise([stream.child(name) for stream in self._streams], self._number)

    def normal(self, *shape: int) -> Tensor:
        """See `Noise.normal`."""
        return self._own([stream.normal(*shape) for stream in self._streams])

    def uniform(self, *shape: int) -> Tensor:
        """See `Noise.uniform`."""
        return self._own([stream.uniform(*shape) for stream in self._streams])

    def integers(self, high: int, *shape: int) -> Tensor:
        """See `Noise.integers`."""
        return self._own([stream.integers(high, *shape) for stream in self._streams])

    def balanced(self, high: int) -> Tensor:
        """See `Noise.balanced`."""
        return self._own([stream.balanced(high) for stream in self._streams])

    def _own(self, draws: list[Tensor]) -> Tensor:
        """The draw of the member that the function is mapped to."""
        return torch.stack(draws)[self._number]
