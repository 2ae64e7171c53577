"""Layers whose output depends on the label of each sample, mixtures of labels, and the context that sets the labels."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn


class TakesMixtures:
    """Mixin of networks and layers that take weights of labels in the place of labels.

    Labels are int64 (n,), weights of a mixture float (n, num_classes). The network averages with these weights what it
    makes of a label first; `averaged` names it, for a sentence.
    """

    averaged: ClassVar[str]


def averaged_in_mixtures(network: nn.Module) -> list[str]:
    """What a network averages for a mixture of labels; nothing if it takes labels only."""
    found = {part.averaged: None for part in network.modules() if isinstance(part, TakesMixtures)}
    return list(found)


def rows_of_labels(table: Tensor, labels: Tensor) -> Tensor:
    """Rows (n, ...) of a table (num_classes, ...) for labels; their means for weights, see `TakesMixtures`."""
    return table[labels] if labels.dim() == 1 else labels.to(table.dtype) @ table


def one_hot(labels: Tensor, num_classes: int, like: Tensor) -> Tensor:
    """One-hot vectors (n, num_classes) of labels in the dtype of `like`; weights as they are, see `TakesMixtures`."""
    return (F.one_hot(labels, num_classes) if labels.dim() == 1 else labels).to(like.dtype)


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
