"""The networks `architecture=skeleton`."""

from math import log2

import torch
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.layers.initialization import initialize
from gan_lab.layers.normalization import normalization


class SkeletonGenerator(nn.Module):
    """Latents to images. An example: convolutions at each resolution from 4 pixels on.

    Args:
        latent_dim: Numbers in a latent vector.
        channels: Channels of the images.
        resolution: Resolution of the images in pixels, a power of two of at least 8.
        width: Channels of the hidden layers.
        norm: See `normalization`.
        init: See `initialize`.
        init_scale: See `initialize`.
    """

    def __init__(
        self, latent_dim: int, channels: int, resolution: int, width: int, norm: str, init: str, init_scale: float
    ) -> None:
        super().__init__()
        self.first = nn.Linear(latent_dim, width * 16)
        blocks = [
            nn.Sequential(
                nn.Upsample(scale_factor=2),
                nn.Conv2d(width, width, 3, padding=1),
                normalization(norm, width, 2),
                nn.ReLU(),
            )
            for _ in range(_doublings(resolution))
        ]
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Conv2d(width, channels, 3, padding=1)
        initialize(self, init, init_scale)

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images (n, C, H, W) in [-1, 1] of latents (n, latent_dim); the condition is not used."""
        x = self.first(latents).unflatten(1, (-1, 4, 4))  # (n, width, 4, 4)
        return torch.tanh(self.output(self.blocks(x)))


class SkeletonDiscriminator(Discriminator):
    """Images to logits: `features` is the last hidden layer, and `output` the linear layer to the logit.

    Args:
        channels: Channels of the images.
        resolution: Resolution of the images in pixels, a power of two of at least 8.
        width: Channels of the hidden layers.
        norm: See `normalization`.
        init: See `initialize`.
        init_scale: See `initialize`.
    """

    def __init__(self, channels: int, resolution: int, width: int, norm: str, init: str, init_scale: float) -> None:
        super().__init__()
        sizes = [channels] + [width] * _doublings(resolution)
        blocks = [
            nn.Sequential(nn.Conv2d(i, width, 4, 2, 1), normalization(norm, width, 2), nn.LeakyReLU(0.2))
            for i in sizes[:-1]
        ]
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Linear(width * 16, 1)
        initialize(self, init, init_scale)

    def features(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, 16 width) of images (n, C, H, W); the condition is not used."""
        return self.blocks(x).flatten(1)


def _doublings(resolution: int) -> int:
    """Number of doublings from 4 pixels.

    Raises:
        ValueError: The resolution is not a power of two of at least 8.
    """
    if resolution < 8 or resolution & (resolution - 1):
        raise ValueError(f"dataset.resolution={resolution} is not allowed: it must be a power of two of at least 8")
    return int(log2(resolution)) - 2
