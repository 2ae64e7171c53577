"""Discriminators whose last hidden layer also tells how alike the samples of a batch are."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.wrapped import Wrapped, innermost, linear_like
from gan_lab.layers.minibatch_discrimination import MinibatchDiscrimination
from gan_lab.layers.minibatch_stddev import MinibatchStddev


@dataclass(frozen=True)
class WithMinibatchDiscrimination:
    """Closeness to the other samples beside the features (Salimans et al., 2016, §3.2), see `MinibatchDiscrimination`.

    Args:
        kernels: Closenesses of a sample, B in the paper.
        kernel_dims: Numbers that one of them compares, C in the paper.
        include_self: Whether a sample counts as close to itself: yes in the paper, no in its code.
    """

    kernels: int = 100
    kernel_dims: int = 5
    include_self: bool = True

    def words(self, words: dict[str, Any]) -> dict[str, Any]:
        """The network inside is built as without it."""
        return words

    def __call__(self, network: nn.Module) -> nn.Module:
        return _Discriminating(cast(Discriminator, network), self)


class _Discriminating(Wrapped):
    def __init__(self, network: Discriminator, options: WithMinibatchDiscrimination) -> None:
        super().__init__(network)
        size = innermost(network).output.in_features
        self.layer = MinibatchDiscrimination(size, options.kernels, options.kernel_dims, options.include_self)
        widen_output(network, options.kernels)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Features and closenesses (n, d + kernels) of samples (n, ...)."""
        features = self.network.features(x, labels)
        return torch.cat([features, self.layer(features)], 1)


@dataclass(frozen=True)
class WithMinibatchStddev:
    """Mean standard deviation over a group of samples beside the features (Karras et al., 2018, §3), see `MinibatchStddev`.

    ProGAN has it two layers further in front, as a map beside the last convolution's input.

    Args:
        group: Samples in a group; None for the whole batch.
    """

    group: int | None = 4

    def words(self, words: dict[str, Any]) -> dict[str, Any]:
        """The network inside is built as without it."""
        return words

    def __call__(self, network: nn.Module) -> nn.Module:
        return _Spreading(cast(Discriminator, network), self.group)


class _Spreading(Wrapped):
    def __init__(self, network: Discriminator, group: int | None) -> None:
        super().__init__(network)
        self.layer = MinibatchStddev(group)
        widen_output(network, 1)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Features and spread (n, d + 1) of samples (n, ...)."""
        return self.layer(self.network.features(x, labels))


def widen_output(network: Discriminator, extra: int) -> None:
    """Let the output layer read `extra` features more, in place: old weights and bias stay, the new weights are as large."""
    owner = innermost(network)
    old = owner.output
    new = linear_like(old, old.in_features + extra, 1)
    with torch.no_grad():
        new.weight[:, : old.in_features] = old.weight
        if old.bias is not None:
            new.bias.copy_(old.bias)
    owner.output = new
