"""Networks of MGAN for small images: strided 5x5 convolutions (Hoang et al., 2018, code)."""

from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.sizes import require_power_of_two
from gan_lab.layers.initialization import initialize
from gan_lab.layers.memory import use_channels_last
from gan_lab.layers.normalization import normalization

SLOPE = 0.2


class MGANGenerator(nn.Module):
    """Generator of MGAN's code for images of 32 pixels, here for other powers of two as well.

    A linear layer to 4x4 with a norm of each unit, not of each channel, and ReLU; then transposed convolutions (5x5,
    stride 2) that double the resolution and halve the channels, each with a norm without shift and ReLU except the
    last, which ends in tanh. All layers have biases. With `norm="layer"` the norms after convolutions have a shift.

    Args:
        latent_dim: Size of a latent.
        channels: Channels of the images.
        resolution: Resolution of the images: a power of two from 8 to 1024.
        width: Channels at half the resolution.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.

    Raises:
        ValueError: The resolution, norm or init is not allowed.
    """

    first_layers: ClassVar[tuple[str, ...]] = ("project", "project_norm")
    last_layers: ClassVar[tuple[str, ...]] = ("output",)

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        resolution: int | None,
        width: int = 64,
        norm: str = "batch",
        init: str = "normal",
        init_scale: float = 0.02,
    ) -> None:
        super().__init__()
        widths = _widths(resolution, width)[::-1]  # at 4, 8, ..., resolution / 2
        self.project = nn.Linear(latent_dim, 4 * 4 * widths[0])
        self.project_norm = normalization(norm, 4 * 4 * widths[0], 0)
        self.convs = nn.ModuleList(nn.ConvTranspose2d(i, o, 5, 2, 2, 1) for i, o in pairwise(widths))
        self.norms = nn.ModuleList(_without_shift(normalization(norm, o, 2)) for o in widths[1:])
        self.output = nn.ConvTranspose2d(widths[-1], channels, 5, 2, 2, 1)
        initialize(self, init, init_scale)
        use_channels_last(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, channels, resolution, resolution) in [-1, 1] for latents (n, latent_dim)."""
        x: Tensor = F.relu(self.project_norm(self.project(latents)))  # (n, 16 c)
        # With the channels last in memory, the convolutions get channels_last without a copy.
        x = x.unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)  # (n, c, 4, 4)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))  # (n, c / 2, 2 h, 2 w)
        return torch.tanh(self.output(x))  # (n, channels, resolution, resolution)


class MGANDiscriminator(Discriminator):
    """Discriminator of MGAN's code for images of 32 pixels, here for other powers of two as well.

    Convolutions (5x5, stride 2) that halve the resolution and double the channels down to 4x4, each, the first
    included, with a norm and leaky ReLU of slope 0.2; then a linear layer. All layers have biases.

    Args:
        channels: Channels of the images.
        resolution: Resolution of the images: a power of two from 8 to 1024.
        width: Channels at half the resolution.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.
        head_gain: The scale of the last layer is `head_gain` times `init_scale`.

    Raises:
        ValueError: The resolution, norm or init is not allowed.
    """

    def __init__(
        self,
        channels: int,
        resolution: int | None,
        width: int = 64,
        norm: str = "batch",
        init: str = "normal",
        init_scale: float = 0.02,
        head_gain: float = 0.5,
    ) -> None:
        super().__init__()
        widths = _widths(resolution, width)  # at resolution / 2, ..., 4
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 5, 2, 2) for i, o in pairwise([channels, *widths]))
        self.norms = nn.ModuleList(normalization(norm, o, 2) for o in widths)
        self.output = nn.Linear(4 * 4 * widths[-1], 1)
        initialize(self, init, init_scale)
        initialize(self.output, init, head_gain * init_scale)
        use_channels_last(self)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, 16 c) of images (n, channels, resolution, resolution) in [-1, 1]."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), SLOPE)  # (n, 2 c, h / 2, w / 2)
        return x.flatten(1)  # (n, 16 c)


def _widths(resolution: int | None, width: int) -> list[int]:
    """Channels at half the resolution, a quarter, ..., 4 pixels."""
    levels = require_power_of_two("mgan", resolution, 8, 1024).bit_length() - 3
    return [width * 2**level for level in range(levels)]


def _without_shift(norm: nn.Module) -> nn.Module:
    """A batch norm without its shift; other norms unchanged."""
    if isinstance(norm, nn.BatchNorm2d):
        norm.register_parameter("bias", None)
    return norm
