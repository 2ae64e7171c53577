"""Mapping of latents and labels to styles, with style mixing, an average style and truncation: StyleGAN2."""

import copy
from collections.abc import Callable
from itertools import pairwise
from math import sqrt
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.layers.float16 import clamp_in_float16
from gan_lab.layers.labeled import TakesMixtures, one_hot
from gan_lab.layers.pixel_norm import PixelNorm
from gan_lab.ranges import require_at_least, require_range

SLOPE = 0.2
AVERAGE_DECAY = 0.995
"""Weight of the average style in its update."""


def scaled_leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2 times sqrt(2): of N(0, 1) numbers, the mean square is 1.04. In float16 it is clamped."""
    return clamp_in_float16(F.leaky_relu(x, SLOPE) * sqrt(2))


class MappingNetwork(nn.Module):
    """Fully connected layers from normalized latents and labels to vectors (Karras et al., 2019, section 2).

    Latents are scaled to mean square 1, and so is a linear embedding of the label, which is concatenated. Each layer
    has the same size and the activation `scaled_leaky_relu`. It is never evaluated in half precision.

    Args:
        latent_dim: Size of a latent; 0 for a network of labels alone.
        outputs: Size of a vector, and of a label's embedding.
        layers: Number of layers.
        label_dim: Coordinates at the end of a latent that describe its label, and are scaled by themselves.
        num_classes: Number of labels; None for an unconditional network.
    """

    def __init__(
        self, latent_dim: int, outputs: int, layers: int, label_dim: int = 0, num_classes: int | None = None
    ) -> None:
        super().__init__()
        self.sizes = [latent_dim - label_dim, label_dim]
        self.normalize = PixelNorm()
        self.embedding = None if num_classes is None else LabelEmbedding(num_classes, outputs)
        first = latent_dim + (0 if num_classes is None else outputs)
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise([first, *[outputs] * layers]))

    def forward(self, latents: Tensor | None, labels: Tensor | None = None) -> Tensor:
        """Vectors (n, outputs) for latents (n, latent_dim), None for a network of labels, and labels, int64 (n,).

        Raises:
            ValueError: The network needs labels.
        """
        with torch.autocast(_device(latents, labels), enabled=False):
            x = torch.cat([self.normalize(part) for part in self._parts(latents, labels)], 1)
            for layer in self.layers:
                x = scaled_leaky_relu(layer(x))
        return x

    def _parts(self, latents: Tensor | None, labels: Tensor | None) -> list[Tensor]:
        parts = [] if latents is None else [part for part in latents.split(self.sizes, 1) if part.shape[1]]
        return parts if self.embedding is None else [*parts, self.embedding(labels)]


class LabelEmbedding(TakesMixtures, nn.Module):
    """A linear layer of one-hot labels.

    Args:
        num_classes: Number of labels.
        dim: Size of a vector.
    """

    averaged: ClassVar[str] = "embeddings"

    def __init__(self, num_classes: int, dim: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.linear = nn.Linear(num_classes, dim)

    def forward(self, labels: Tensor | None) -> Tensor:
        """Vectors (n, dim) of labels, int64 (n,).

        Raises:
            ValueError: There are no labels.
        """
        if labels is None:
            raise ValueError("this network is conditioned on labels: call it with labels, int64 (n,)")
        return self.linear(one_hot(labels, self.num_classes, self.linear.bias))


class StyleMapping(nn.Module):
    """Styles of all layers of a generator, w in the paper, from latents (Karras et al., 2020).

    In training mode some batches are mixed (Karras et al., 2019, section 3.1): from a random layer on, the styles are
    those of other latents, which are N(0, 1) numbers. The moving average of the styles is updated at each call, in the
    updates of both players as in the authors' code, and is part of the state dict. In evaluation mode styles are not
    mixed, and may be truncated; see `with_truncated_styles`.

    Args:
        latent_dim: Size of a latent.
        style_dim: Size of a style.
        layers: Layers of the mapping network.
        count: Number of layers of the generator that have a style, at least 2.
        label_dim: See `MappingNetwork`.
        num_classes: See `MappingNetwork`.
        mixing: Probability that a batch is mixed.

    Raises:
        ValueError: A number is out of range.
    """

    gives_styles: ClassVar[bool] = True
    keeps_statistics: ClassVar[bool] = True
    counts_all_updates: ClassVar[bool] = True
    average: Tensor

    def __init__(
        self,
        latent_dim: int,
        style_dim: int,
        layers: int,
        count: int,
        label_dim: int = 0,
        num_classes: int | None = None,
        mixing: float = 0.9,
    ) -> None:
        super().__init__()
        require_at_least("architecture.generator.mapping_layers", layers, 1)
        require_at_least("architecture.generator.style_dim", style_dim, 1)
        allowed = 0 <= label_dim < latent_dim
        require_range("architecture.generator.label_dim", label_dim, allowed, f"from 0 to {latent_dim - 1}")
        require_range("architecture.generator.mixing", mixing, 0 <= mixing <= 1, "in [0, 1]")
        self.network = MappingNetwork(latent_dim, style_dim, layers, label_dim, num_classes)
        self.latent_dim = latent_dim - label_dim
        self.count = count
        self.mixing = mixing
        self.psi = 1.0
        self.cutoff = count
        self.register_buffer("average", torch.zeros(style_dim))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Styles (n, count, style_dim) for latents (n, latent_dim) and labels, int64 (n,), or None."""
        styles = self.network(latents, labels)  # (n, style_dim)
        if not self.training:
            return self._truncated(styles)
        with torch.no_grad():
            self.average.lerp_(styles.mean(0), 1 - AVERAGE_DECAY)
        return self._mixed(styles, latents, labels)

    def _truncated(self, styles: Tensor) -> Tensor:
        if self.psi == 1:
            return self._in_layers(styles, styles, self.count)
        return self._in_layers(torch.lerp(self.average.expand_as(styles), styles, self.psi), styles, self.cutoff)

    def _mixed(self, styles: Tensor, latents: Tensor, labels: Tensor | None) -> Tensor:
        if not self.mixing:
            return self._in_layers(styles, styles, self.count)
        drawn = torch.randn_like(latents[:, : self.latent_dim])
        other = self.network(torch.cat([drawn, latents[:, self.latent_dim :]], 1), labels)
        # No branch depends on what is drawn: a GPU is never waited for, and fake tensors and compiled code pass.
        mixed = torch.rand((), device=styles.device) < self.mixing
        layers = torch.arange(self.count, device=styles.device)[:, None]
        others = mixed & (layers >= torch.randint(1, self.count, (), device=styles.device))
        return torch.where(others, other[:, None], styles[:, None])

    def _in_layers(self, styles: Tensor, others: Tensor, count: int) -> Tensor:
        """`styles` in the first `count` layers, `others` in the rest: (n, count, style_dim)."""
        return torch.stack([styles] * count + [others] * (self.count - count), 1)


def _device(*tensors: Tensor | None) -> str:
    return next((tensor.device.type for tensor in tensors if tensor is not None), "cpu")


def with_truncated_styles(network: nn.Module, psi: float, cutoff: int | None = None) -> nn.Module:
    """Copy of a network with truncated styles (Karras et al., 2019, appendix B): average + psi (style - average).

    Args:
        network: In evaluation mode.
        psi: At least 0; 1 changes nothing, 0 gives the average style for all latents and labels.
        cutoff: Number of layers whose styles are truncated, from the lowest resolution; None for all.

    Raises:
        ValueError: The network has no styles, or a number is out of range.
    """
    require_range("truncation", psi, psi >= 0, "at least 0, or null for none")
    network = copy.deepcopy(network)
    layers = [m for m in network.modules() if isinstance(m, StyleMapping)]
    if not layers:
        raise ValueError("the generator has no styles that can be truncated")
    for layer in layers:
        layer.cutoff = layer.count if cutoff is None else cutoff
        require_range("truncation_cutoff", layer.cutoff, 1 <= layer.cutoff <= layer.count, f"from 1 to {layer.count}")
        layer.psi = psi
    return network


def has_styles(network: nn.Module) -> bool:
    """Whether a network has styles, which `with_truncated_styles` can truncate."""
    return any(isinstance(layer, StyleMapping) for layer in network.modules())


class _StylesFoundError(Exception):
    """Ends the forward pass of a network whose styles are known."""

    def __init__(self, styles: Tensor) -> None:
        super().__init__()
        self.styles = styles


def styles_of(network: nn.Module, *inputs: Tensor | None) -> Tensor:
    """Styles (n, count, style_dim) of inputs of a network with styles: latents, and a condition or None.

    The network stops at the styles: samples of thousands of latents at once would not fit into memory.
    """

    def stop(styles: Tensor) -> None:
        raise _StylesFoundError(styles)

    try:
        run_with_styles(network, stop, inputs)
    except _StylesFoundError as found:
        return found.styles
    raise AssertionError("the network did not compute its styles")


def samples_of_styles(network: nn.Module, styles: Tensor, *inputs: Tensor | None) -> Tensor:
    """Samples (n, ...) of styles, which replace those of the inputs of a network with styles.

    Args:
        network: In evaluation mode.
        styles: (n, count, style_dim), or (n, 1, style_dim) for the same style in all layers.
        inputs: Latents, and a condition or None, with n rows.
    """
    return run_with_styles(network, styles.expand_as, inputs)


def style_average(network: nn.Module) -> Tensor:
    """Average style (style_dim,) of a network with styles, towards which they are truncated."""
    return next(layer for layer in network.modules() if isinstance(layer, StyleMapping)).average


def run_with_styles(
    network: nn.Module, change: Callable[[Tensor], Tensor | None], inputs: tuple[Tensor | None, ...]
) -> Tensor:
    """Output of a network whose styles are passed to `change`, and replaced by its result unless that is None."""
    # A hook, since the network may be inside wrappers, whose inputs are latents.
    layer = next(layer for layer in network.modules() if isinstance(layer, StyleMapping))
    handle = layer.register_forward_hook(lambda layer, inputs, output: change(output))
    try:
        samples: Tensor = network(*inputs)
    finally:
        handle.remove()
    return samples
