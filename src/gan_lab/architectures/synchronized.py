"""Wrapper for batch norm over the samples of all processes."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from gan_lab.architectures.wrapped import swap_batch_norms
from gan_lab.layers.synchronized_batch_norm import synchronized


@dataclass(frozen=True)
class SynchronizedBatch:
    """Synchronize every batch norm of a network over all processes, as in BigGAN (Brock et al., 2019).

    With one process it changes nothing. Micro-batches of `accumulate` are still normalized separately.

    Args:
        network: `generator` or `discriminator`, for messages.

    Raises:
        ValueError: The network has no batch norm.
    """

    network: str

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs, unchanged."""
        return kwargs

    def __call__(self, network: nn.Module) -> nn.Module:
        message = (
            f"wrapper.{self.network}.synchronized_batch_norm needs batch norm, and this {self.network} has none; "
            f"set architecture.{self.network}.norm=batch, or remove the wrapper"
        )
        swap_batch_norms(network, synchronized, message)
        return network
