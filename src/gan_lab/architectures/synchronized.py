"""Networks whose batch norm is over all processes."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from gan_lab.architectures.wrapped import swap_batch_norms
from gan_lab.layers.synchronized_batch_norm import synchronized


@dataclass(frozen=True)
class SynchronizedBatch:
    """Every batch norm of a network over the samples of all processes, as large batches want it (Brock et al., 2019).

    One process is not changed by it. Micro-batches of `accumulate` stay apart.

    Args:
        network: What messages call it: `generator` or `discriminator`.

    Raises:
        ValueError: The network has no batch norm.
    """

    network: str

    def words(self, words: dict[str, Any]) -> dict[str, Any]:
        """The network is built as without it."""
        return words

    def __call__(self, network: nn.Module) -> nn.Module:
        complaint = (
            f"wrapper.{self.network}.synchronized_batch_norm is for batch norm, and this {self.network} has none; "
            f"set architecture.{self.network}.norm=batch, or leave it out"
        )
        swap_batch_norms(network, synchronized, complaint)
        return network
