"""DCGAN: networks of strided convolutions (Radford et al., 2016)."""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator, Layer
from gan_lab.architectures.sizes import require_power_of_two
from gan_lab.layers.initialization import initialize
from gan_lab.layers.memory import use_channels_last
from gan_lab.layers.normalization import normalization, require_norm
from gan_lab.ranges import require_range

SLOPE = 0.2


class DCGANGenerator(nn.Module):
    """DCGAN's generator (Radford et al., 2016, §3 and Fig. 1), with 4x4 kernels in place of the paper's 5x5.

    A linear layer to 4x4, then transposed convolutions of stride 2 that double the resolution and halve the
    channels; norm and ReLU after each except the last, which ends in tanh. At 64 pixels the channels are 8, 4, 2 and 1
    times `width`. With a norm, no layer has a bias: the norm's shift replaces it, and the output has none either, as in
    the common PyTorch implementation. With `norm="none"` every layer has a bias.

    Args:
        latent_dim: Size of a latent.
        channels: Channels of the images.
        resolution: Resolution of the images: a power of two from 8 to 1024.
        width: Channels at half the resolution.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.
        max_width: Maximum number of channels of a layer. It limits the 4x4 layer of images above 64 pixels, but not
            images of 64 pixels with a width up to 128, as in the paper.
        kernel: Kernel size: 3, 4 or 5.
        convolutions: Layers at each resolution: 1, or 2 for another one of stride 1 after each that doubles the
            resolution, as in the authors' ImageNet networks, which needs an odd kernel.
        unit_norm: The first norm has statistics, gain and shift of each unit of the linear layer, as in the authors'
            code; otherwise of each channel.

    Raises:
        ValueError: The resolution or an option is not allowed.
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
        max_width: int = 1024,
        kernel: int = 4,
        unit_norm: bool = False,
        convolutions: int = 1,
    ) -> None:
        super().__init__()
        _require_kernel("generator", kernel, convolutions)
        widths = _widths(resolution, width, max_width)  # at resolution / 2, ..., 4
        bias = norm == "none"
        self.project = nn.Linear(latent_dim, 4 * 4 * widths[-1], bias=bias)
        self.unit_norm = unit_norm
        units, dims = (4 * 4 * widths[-1], 0) if unit_norm else (widths[-1], 2)
        self.project_norm = normalization(norm, units, dims)
        padding = (kernel - 1) // 2
        *hidden, output = [
            nn.ConvTranspose2d(i, o, kernel, stride, padding, (stride - 1) * (kernel % 2), bias=bias)
            for o, i, stride in _convolutions(channels, widths, convolutions)[::-1]
        ]
        self.convs = nn.ModuleList(hidden)
        self.norms = nn.ModuleList(normalization(norm, conv.out_channels, 2) for conv in hidden)
        self.output = output
        initialize(self, init, init_scale)
        use_channels_last(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, channels, resolution, resolution) in [-1, 1] for latents (n, latent_dim)."""
        x: Tensor = self.project(latents)  # (n, 16 c)
        if self.unit_norm:
            x = self.project_norm(x)
        # With the channels last in memory, the convolutions get channels_last without a copy.
        x = x.unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)  # (n, c, 4, 4)
        x = F.relu(x if self.unit_norm else self.project_norm(x))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))  # (n, c / 2, 2 h, 2 w); with 2 convolutions, by turns one of both
        return torch.tanh(self.output(x))  # (n, channels, resolution, resolution)


class DCGANDiscriminator(Discriminator):
    """DCGAN's discriminator (Radford et al., 2016, §3), with 4x4 kernels in place of the paper's 5x5.

    Convolutions of stride 2 that halve the resolution and double the channels down to 4x4, each with leaky ReLU of
    slope 0.2, the first without a norm; then one 4x4 convolution to a logit. Biases as in the generator.

    Args:
        channels: Channels of the images.
        resolution: Resolution of the images: a power of two from 8 to 1024.
        width: Channels at half the resolution.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.
        max_width: Maximum number of channels of a layer, as in the generator.
        kernel: Kernel size: 3, 4 or 5.
        convolutions: Layers at each resolution: 1, or 2 for another one of stride 1 before each that halves the
            resolution, as in the authors' ImageNet networks, which needs an odd kernel.

    Raises:
        ValueError: The resolution or an option is not allowed.
    """

    def __init__(
        self,
        channels: int,
        resolution: int | None,
        width: int = 64,
        norm: str = "batch",
        init: str = "normal",
        init_scale: float = 0.02,
        max_width: int = 1024,
        kernel: int = 4,
        convolutions: int = 1,
    ) -> None:
        super().__init__()
        _require_kernel("discriminator", kernel, convolutions)
        require_norm(norm)  # at 8 pixels no norm is built that would check it
        widths = _widths(resolution, width, max_width)  # at resolution / 2, ..., 4
        bias = norm == "none"
        padding = (kernel - 1) // 2
        self.input, *hidden = [
            nn.Conv2d(i, o, kernel, stride, padding, bias=bias)
            for i, o, stride in _convolutions(channels, widths, convolutions)
        ]
        self.convs = nn.ModuleList(hidden)
        self.norms = nn.ModuleList(normalization(norm, conv.out_channels, 2) for conv in hidden)
        # Equivalent to a 4x4 convolution without padding on 4x4 features.
        self.output = nn.Linear(4 * 4 * widths[-1], 1, bias=bias)
        initialize(self, init, init_scale)
        use_channels_last(self)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, 16 c) of images (n, channels, resolution, resolution) in [-1, 1]."""
        x = F.leaky_relu(self.input(x), SLOPE)  # (n, width, resolution / 2, resolution / 2), or not halved
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), SLOPE)  # (n, 2 c, h / 2, w / 2); with 2 convolutions, by turns one of both
        return x.flatten(1)  # (n, 16 c)

    def layers_from_image(self) -> list[Layer]:
        """All convolutions, each with its norm."""
        return [(self.input,), *zip(self.convs, self.norms, strict=True)]


def _require_kernel(network: str, kernel: int, convolutions: int) -> None:
    require_range(f"architecture.{network}.convolutions", convolutions, convolutions in (1, 2), "1 or 2")
    allowed = (3, 4, 5) if convolutions == 1 else (3, 5)
    text = "3, 4 or 5" if convolutions == 1 else "3 or 5 with 2 convolutions at each resolution"
    require_range(f"architecture.{network}.kernel", kernel, kernel in allowed, text)


def _widths(resolution: int | None, width: int, max_width: int) -> list[int]:
    """Channels at half the resolution, a quarter, ..., 4 pixels."""
    resolution = require_power_of_two("dcgan", resolution, 8, 1024)
    levels = (resolution // 4).bit_length() - 1
    return [min(width * 2**level, max_width) for level in range(levels)]


def _convolutions(channels: int, widths: Sequence[int], number: int) -> list[tuple[int, int, int]]:
    """Inputs, outputs and stride of the discriminator's convolutions, those of the generator from its end."""
    outputs = [width for width in widths for _ in range(number)]
    return list(zip([channels, *outputs], outputs, [*[1] * (number - 1), 2] * len(widths), strict=False))
