"""Layers whose output depends on the label of each sample, and the context manager that sets the labels."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


class Labeled:
    """Mixin of layers that get labels from `labels_for`, so that a network need not pass them from layer to layer."""

    labels: Tensor | None = None

    def required_labels(self) -> Tensor:
        """The labels, int64 (n,).

        Raises:
            ValueError: There are none, because the call is outside `labels_for`.
        """
        if self.labels is None:
            raise ValueError("this network is conditioned on labels: call it with labels, int64 (n,)")
        return self.labels


@contextmanager
def labels_for(network: nn.Module, labels: Tensor | None) -> Iterator[None]:
    """Set the labels, int64 (n,), of every labeled layer of a network inside the `with` block."""
    layers = [layer for layer in network.modules() if isinstance(layer, Labeled)]
    for layer in layers:
        layer.labels = labels
    try:
        yield
    finally:
        for layer in layers:
            layer.labels = None
