"""Residual generator of CycleGAN, from images to images (Johnson et al., 2016; Zhu et al., 2017)."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from gan_lab.architectures.sizes import require_resolution
from gan_lab.layers.initialization import initialize
from gan_lab.layers.memory import use_channels_last
from gan_lab.layers.normalization import normalization
from gan_lab.ranges import require_at_least

BLOCKS = {"large": 9, "small": 6}
"""Residual blocks for images of at least 256 pixels, and for smaller ones: Zhu et al. (2017), section 4."""


class ResNetTranslator(nn.Module):
    """CycleGAN's generator (Zhu et al., 2017, section 4 and code).

    A 7x7 convolution, two 3x3 convolutions of stride 2 that double the channels, residual blocks, two transposed
    convolutions that halve the channels, and a 7x7 convolution with tanh; norm and ReLU after each but the last. The
    7x7 convolutions and the blocks pad by reflection. Layers have biases unless the norm has shifts. It takes images of
    any size in multiples of 4 pixels.

    Args:
        latent_dim: Numbers of a latent, which are constant maps beside the source; 0 for none, as in the paper.
        channels: Channels of the images that it makes.
        resolution: Resolution of the images: a multiple of 4 of at least 8.
        width: Channels at the full resolution.
        norm: `none`, `batch`, `layer` or `instance`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.
        source_channels: Channels of the source images; None, for a data set without them, is an error.
        blocks: Number of residual blocks, at least 0; None for 9 from 256 pixels on, and 6 below.

    Raises:
        ValueError: The resolution or an option is not allowed, or there are no source images.
    """

    multiple: ClassVar[int] = 4
    """Width and height of images must be multiples of it, in pixels."""

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        resolution: int | None,
        width: int = 64,
        norm: str = "instance",
        init: str = "normal",
        init_scale: float = 0.02,
        source_channels: int | None = None,
        blocks: int | None = None,
    ) -> None:
        super().__init__()
        if source_channels is None:
            raise ValueError(
                "architecture=resnet_translator makes images from images; set dataset=unpaired "
                "conditioning=source_image, or another model and its architecture, as in model=dcgan architecture=dcgan"
            )
        allowed = range(8, 8193, self.multiple)
        resolution = require_resolution("resnet_translator", resolution, allowed, "a multiple of 4 from 8 to 8192")
        if blocks is None:
            blocks = BLOCKS["large" if resolution >= 256 else "small"]
        require_at_least("architecture.generator.blocks", blocks, 0)
        self.source_channels, self.channels = source_channels, channels
        bias = norm in ("none", "instance")
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(source_channels + latent_dim, width, 7, bias=bias),
            *_norm_and_relu(norm, width),
            nn.Conv2d(width, 2 * width, 3, 2, 1, bias=bias),
            *_norm_and_relu(norm, 2 * width),
            nn.Conv2d(2 * width, 4 * width, 3, 2, 1, bias=bias),
            *_norm_and_relu(norm, 4 * width),
            *(ResidualBlock(4 * width, norm, bias) for _ in range(blocks)),
            nn.ConvTranspose2d(4 * width, 2 * width, 3, 2, 1, 1, bias=bias),
            *_norm_and_relu(norm, 2 * width),
            nn.ConvTranspose2d(2 * width, width, 3, 2, 1, 1, bias=bias),
            *_norm_and_relu(norm, width),
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, channels, 7),
        )
        initialize(self, init, init_scale)
        use_channels_last(self)

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images (n, channels, h, w) in [-1, 1] for latents (n, latent_dim) and sources (n, source_channels, h, w)."""
        if condition is None:
            raise ValueError("this generator makes images from images: call it with the source of each sample")
        maps = latents[:, :, None, None].expand(-1, -1, *condition.shape[2:])
        return torch.tanh(self.layers(torch.cat([condition, maps.to(condition.dtype)], 1)))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with norms, a ReLU between them, and a skip connection; (n, channels, h, w) to the same.

    Args:
        channels: Channels of input and output.
        norm: See `normalization`.
        bias: Whether the convolutions have biases.
    """

    def __init__(self, channels: int, norm: str, bias: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            *_norm_and_relu(norm, channels),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            normalization(norm, channels, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def _norm_and_relu(norm: str, channels: int) -> tuple[nn.Module, nn.Module]:
    return normalization(norm, channels, 2), nn.ReLU()
