"""Wrappers that add the similarity of the samples of a batch to the features of a discriminator."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.wrapped import Wrapped, innermost, last_layer, linear_like
from gan_lab.layers.minibatch_discrimination import MinibatchDiscrimination
from gan_lab.layers.minibatch_stddev import MinibatchStddev


@dataclass(frozen=True)
class WithMinibatchDiscrimination:
    """Minibatch discrimination of the features (Salimans et al., 2016, §3.2), see `MinibatchDiscrimination`.

    Args:
        kernels: Number of similarities per sample, B in the paper.
        kernel_dims: Dimension of the vectors that each of them compares, C in the paper.
        include_self: Include the similarity of a sample to itself, as in the paper but not in its code.
    """

    kernels: int = 100
    kernel_dims: int = 5
    include_self: bool = True

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs, unchanged."""
        return kwargs

    def __call__(self, network: nn.Module) -> nn.Module:
        return _WithSimilarities(cast(Discriminator, network), self)


class _WithSimilarities(Wrapped):
    def __init__(self, network: Discriminator, options: WithMinibatchDiscrimination) -> None:
        super().__init__(network)
        size = last_layer(network).in_features
        self.layer = MinibatchDiscrimination(size, options.kernels, options.kernel_dims, options.include_self)
        widen_output(network, options.kernels)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Features and similarities (n, d + kernels) of samples (n, ...)."""
        features = self.network.features(x, labels)
        return torch.cat([features, self.layer(features)], 1)


@dataclass(frozen=True)
class WithMinibatchStddev:
    """Appends the minibatch standard deviation to the features (Karras et al., 2018, §3), see `MinibatchStddev`.

    ProGAN appends it two layers earlier, as a map to the input of the last convolution.

    Args:
        group: Samples in a group; None for all samples of the batch.
    """

    group: int | None = 4

    def network_kwargs(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The kwargs, unchanged."""
        return kwargs

    def __call__(self, network: nn.Module) -> nn.Module:
        return _WithStddev(cast(Discriminator, network), self.group)


class _WithStddev(Wrapped):
    def __init__(self, network: Discriminator, group: int | None) -> None:
        super().__init__(network)
        self.layer = MinibatchStddev(group)
        widen_output(network, 1)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Features and standard deviation (n, d + 1) of samples (n, ...)."""
        return self.layer(self.network.features(x, labels))


def widen_output(network: Discriminator, extra: int) -> None:
    """Extend the output layer by `extra` input features, in place, with new weights at the scale of the old ones."""
    old = last_layer(network)
    new = linear_like(old, old.in_features + extra, 1)
    with torch.no_grad():
        new.weight[:, : old.in_features] = old.weight
        if old.bias is not None:
            new.bias.copy_(old.bias)
    innermost(network).output = new
