"""Fully connected networks, for points and for small images."""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator, Layer
from gan_lab.layers.initialization import initialize
from gan_lab.layers.maxout import Maxout
from gan_lab.layers.normalization import normalization

SLOPE = 0.2


class MLPGenerator(nn.Module):
    """Fully connected generator; the defaults are those of D2GAN for a ring of points (Nguyen et al., 2017, code).

    `depth` times linear, norm, activation; then a linear layer, with tanh for images and without for points.
    Goodfellow et al. (2014) use two layers of 1200 ReLU units for MNIST. Linear layers before a norm have no bias.

    Args:
        latent_dim: Size of a latent.
        channels: Channels of the images, or coordinates of the points.
        resolution: Resolution of the images, any; None for points.
        width: Units of a hidden layer.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.
        depth: Number of hidden layers, at least 1.
        activation: `relu`, `leaky_relu` (slope 0.2) or `tanh`.

    Raises:
        ValueError: The norm, init, depth or activation is not allowed.
    """

    first_layers: ClassVar[tuple[str, ...]] = ("hidden.0.0", "hidden.0.1")
    last_layers: ClassVar[tuple[str, ...]] = ("output",)

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        resolution: int | None,
        width: int = 128,
        norm: str = "none",
        init: str = "he",
        init_scale: float = 1.0,
        depth: int = 2,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        _require_depth(depth)
        self.shape = _sample_shape(channels, resolution)
        sizes = [latent_dim] + [width] * depth
        self.hidden = nn.ModuleList(
            nn.Sequential(
                nn.Linear(i, o, bias=norm == "none"), normalization(norm, o, 0), _activation(activation, *_PLAIN)
            )
            for i, o in pairwise(sizes)
        )
        self.output = nn.Linear(width, _size(self.shape))
        initialize(self, init, init_scale)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples for latents (n, latent_dim): images (n, C, H, W) in [-1, 1] or points (n, channels), unbounded."""
        x = latents
        for layer in self.hidden:
            x = layer(x)  # (n, width)
        x = self.output(x)  # (n, C H W) or (n, channels)
        return x if len(self.shape) == 1 else torch.tanh(x).unflatten(1, self.shape)  # (n, C, H, W)


class MLPDiscriminator(Discriminator):
    """Fully connected discriminator; the defaults are those of D2GAN for a ring of points (Nguyen et al., 2017, code).

    Dropout on the flattened input, then `depth` times linear, norm, activation and dropout, then a linear layer.
    Goodfellow et al. (2014) use two maxout layers of 240 units with 5 pieces, and dropout of 0.2 and 0.5, for MNIST.
    Linear layers before a norm have no bias; `maxout` replaces linear layer and activation, and the norm follows it.

    Args:
        channels: Channels of the images, or coordinates of the points.
        resolution: Resolution of the images, any; None for points.
        width: Units of a hidden layer.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.
        depth: Number of hidden layers, at least 1.
        activation: `relu`, `leaky_relu` (slope 0.2), `tanh` or `maxout`.
        pieces: Affine maps per unit of `maxout`; unused otherwise.
        dropout: Probability of dropping a hidden unit, in [0, 1].
        input_dropout: Probability of dropping an input, in [0, 1].

    Raises:
        ValueError: The norm, init, depth, activation, pieces or a dropout probability is not allowed.
    """

    def __init__(
        self,
        channels: int,
        resolution: int | None,
        width: int = 128,
        norm: str = "none",
        init: str = "he",
        init_scale: float = 1.0,
        depth: int = 1,
        activation: str = "relu",
        pieces: int = 5,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _require_depth(depth)
        sizes = [_size(_sample_shape(channels, resolution))] + [width] * depth
        self.input_dropout = nn.Dropout(input_dropout)
        self.hidden = nn.ModuleList()
        for i, o in pairwise(sizes):
            unit = normalization(norm, o, 0)
            layers: list[nn.Module] = (
                [Maxout(i, o, pieces), unit]
                if activation == "maxout"
                else [nn.Linear(i, o, bias=norm == "none"), unit, _activation(activation, *_PLAIN, "maxout")]
            )
            self.hidden.append(nn.Sequential(*layers, nn.Dropout(dropout)))
        self.output = nn.Linear(width, 1)
        initialize(self, init, init_scale)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, width) of images (n, C, H, W) in [-1, 1] or points (n, channels)."""
        x = self.input_dropout(x.flatten(1))  # (n, C H W) or (n, channels)
        for layer in self.hidden:
            x = layer(x)  # (n, width)
        return x

    def layers_from_image(self) -> list[Layer]:
        """The hidden layers."""
        return [(layer,) for layer in self.hidden]


_PLAIN = ("relu", "leaky_relu", "tanh")


def _activation(name: str, *allowed: str) -> nn.Module:
    if name == "relu":
        return nn.ReLU()
    if name == "leaky_relu":
        return nn.LeakyReLU(SLOPE)
    if name == "tanh":
        return nn.Tanh()
    raise ValueError(f"activation must be one of {', '.join(allowed)}, not {name!r}")


def _require_depth(depth: int) -> None:
    if depth < 1:
        raise ValueError(f"depth must be at least 1 hidden layer, not {depth}")


def _sample_shape(channels: int, resolution: int | None) -> tuple[int, ...]:
    return (channels,) if resolution is None else (channels, resolution, resolution)


def _size(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()
