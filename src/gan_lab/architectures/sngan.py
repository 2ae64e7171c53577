"""SN-GAN's standard CNN: alternating 4x4 (stride 2) and 3x3 convolutions (Miyato et al., 2018, Table 3)."""

from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator, Layer
from gan_lab.architectures.sizes import require_resolution
from gan_lab.layers.initialization import initialize
from gan_lab.layers.memory import use_channels_last
from gan_lab.layers.normalization import normalization

SLOPE = 0.1
RESOLUTIONS = range(16, 129, 8)


class SNGANGenerator(nn.Module):
    """Generator of SN-GAN's standard CNN (Miyato et al., 2018, Table 3).

    A linear layer to an eighth of the resolution, three transposed convolutions (4x4, stride 2) with norm and ReLU that
    double the resolution and halve the channels from 8 to 1 times `width`, then a 3x3 convolution and tanh. As in the
    table, the linear layer has neither norm nor ReLU. All layers have biases.

    Args:
        latent_dim: Size of a latent, 128 in the paper.
        channels: Channels of the images.
        resolution: Resolution of the images: a multiple of 8 from 16 to 128; 32 and 48 in the paper.
        width: Channels at the full resolution, 64 in the paper.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.

    Raises:
        ValueError: The resolution, norm or init is not allowed.
    """

    first_layers: ClassVar[tuple[str, ...]] = ("project",)
    last_layers: ClassVar[tuple[str, ...]] = ("output",)

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        resolution: int | None,
        width: int = 64,
        norm: str = "batch",
        init: str = "glorot",
        init_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.start = _require_resolution(resolution) // 8
        widths = [8 * width, 4 * width, 2 * width, width]
        self.project = nn.Linear(latent_dim, self.start**2 * widths[0])
        self.convs = nn.ModuleList(nn.ConvTranspose2d(i, o, 4, 2, 1) for i, o in pairwise(widths))
        self.norms = nn.ModuleList(normalization(norm, o, 2) for o in widths[1:])
        self.output = nn.Conv2d(width, channels, 3, 1, 1)
        initialize(self, init, init_scale)
        use_channels_last(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, channels, resolution, resolution) in [-1, 1] for latents (n, latent_dim)."""
        x: Tensor = self.project(latents)  # (n, start^2 c)
        # With the channels last in memory, the convolutions get channels_last without a copy.
        x = x.unflatten(1, (self.start, self.start, -1)).permute(0, 3, 1, 2)  # (n, c, start, start)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))  # (n, c / 2, 2 h, 2 w)
        return torch.tanh(self.output(x))  # (n, channels, resolution, resolution)


class SNGANDiscriminator(Discriminator):
    """Discriminator of SN-GAN's standard CNN (Miyato et al., 2018, Table 3), without its spectral normalization.

    A 3x3 convolution, then three times a 4x4 convolution of stride 2, which halves the resolution, and a 3x3
    convolution, which doubles the channels, each with leaky ReLU of slope 0.1; then a linear layer. All layers have
    biases.

    Args:
        channels: Channels of the images.
        resolution: Resolution of the images: a multiple of 8 from 16 to 128; 32 and 48 in the paper.
        width: Channels at the full resolution, 64 in the paper.
        norm: `none`, `batch` or `layer`, see `normalization`; after every convolution except the first. `batch`
            cannot be combined with a gradient penalty.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.

    Raises:
        ValueError: The resolution, norm or init is not allowed.
    """

    def __init__(
        self,
        channels: int,
        resolution: int | None,
        width: int = 64,
        norm: str = "none",
        init: str = "glorot",
        init_scale: float = 1.0,
    ) -> None:
        super().__init__()
        end = _require_resolution(resolution) // 8
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.input = nn.Conv2d(channels, width, 3, 1, 1)
        self.convs = nn.ModuleList()
        for i, o in pairwise(widths):
            self.convs.extend([nn.Conv2d(i, i, 4, 2, 1), nn.Conv2d(i, o, 3, 1, 1)])
        self.norms = nn.ModuleList(normalization(norm, o, 2) for pair in pairwise(widths) for o in pair)
        self.output = nn.Linear(end**2 * widths[-1], 1)
        initialize(self, init, init_scale)
        use_channels_last(self)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, 8 width (resolution / 8)^2) of images (n, channels, resolution, resolution)."""
        x = F.leaky_relu(self.input(x), SLOPE)  # (n, width, resolution, resolution)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), SLOPE)  # alternately (n, c, h / 2, w / 2) and (n, 2 c, h, w)
        return x.flatten(1)

    def layers_from_image(self) -> list[Layer]:
        """All convolutions, each with its norm."""
        return [(self.input,), *zip(self.convs, self.norms, strict=True)]


def _require_resolution(resolution: int | None) -> int:
    return require_resolution("sngan_cnn", resolution, RESOLUTIONS, "a multiple of 8 from 16 to 128")
