"""ALI's convolutional networks for images of 32 pixels (Dumoulin et al., 2017)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator, Layer
from gan_lab.architectures.bigan import sizes_of_pair, split_pair
from gan_lab.layers.initialization import initialize
from gan_lab.layers.normalization import normalization, require_norm

SLOPE = 0.1
RESOLUTION = 32
"""The only resolution of these networks: no convolution is padded."""


class ALIGenerator(nn.Module):
    """Generator of ALI's CIFAR-10 runs, from the authors' code.

    Transposed convolutions without padding from 1 to 4, 10, 13, 28 and 32 pixels, then two of 1x1; each but the last
    with a norm and leaky ReLU of slope 0.1. Tanh of half the output is on [-1, 1] what the code's sigmoid is on [0, 1].
    Only the output has a bias, one for each pixel and channel; it starts at 0, in the code at the log odds of the
    pixels of 500 images.

    Args:
        latent_dim: Size of a latent.
        channels: Channels of the images.
        resolution: Resolution of the images: 32.
        width: Channels at 28 pixels.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.

    Raises:
        ValueError: The resolution, norm or init is not allowed.
    """

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        resolution: int | None,
        width: int = 32,
        norm: str = "batch",
        init: str = "normal",
        init_scale: float = 0.01,
    ) -> None:
        super().__init__()
        _require_resolution(resolution)
        widths = [latent_dim, 8 * width, 4 * width, 2 * width, width, width, width]
        kernels = [(4, 1), (4, 2), (4, 1), (4, 2), (5, 1), (1, 1)]
        self.convs = nn.ModuleList(
            nn.ConvTranspose2d(i, o, kernel, stride, bias=False)
            for i, o, (kernel, stride) in zip(widths[:-1], widths[1:], kernels, strict=True)
        )
        self.norms = nn.ModuleList(normalization(norm, o, 2) for o in widths[1:])
        self.output = nn.Conv2d(width, channels, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(channels, RESOLUTION, RESOLUTION))
        initialize(self, init, init_scale)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, channels, 32, 32) in [-1, 1] for latents (n, latent_dim)."""
        x = latents[:, :, None, None]  # (n, latent_dim, 1, 1)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), SLOPE)  # (n, c, h, h)
        return torch.tanh((self.output(x) + self.bias) / 2)  # (n, channels, 32, 32)


class ALIEncoder(Discriminator):
    """Encoder of ALI's CIFAR-10 runs, from the authors' code; for the wrapper `Encoding`.

    Convolutions without padding from 32 to 28, 13, 10, 4 and 1 pixels, and one of 1x1, each with a norm and leaky ReLU
    of slope 0.1, without biases.

    Args:
        channels: Channels of the images.
        resolution: Resolution of the images: 32.
        width: Channels at 28 pixels.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.

    Raises:
        ValueError: The resolution, norm or init is not allowed.
    """

    def __init__(
        self,
        channels: int,
        resolution: int | None,
        width: int = 32,
        norm: str = "batch",
        init: str = "normal",
        init_scale: float = 0.01,
    ) -> None:
        super().__init__()
        _require_resolution(resolution)
        widths = [channels, width, 2 * width, 4 * width, 8 * width, 16 * width, 16 * width]
        kernels = [(5, 1), (4, 2), (4, 1), (4, 2), (4, 1), (1, 1)]
        self.convs = nn.ModuleList(
            nn.Conv2d(i, o, kernel, stride, bias=False)
            for i, o, (kernel, stride) in zip(widths[:-1], widths[1:], kernels, strict=True)
        )
        self.norms = nn.ModuleList(normalization(norm, o, 2) for o in widths[1:])
        self.output = nn.Linear(16 * width, 1)
        initialize(self, init, init_scale)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, 16 width) of images (n, channels, 32, 32) in [-1, 1]."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), SLOPE)  # (n, c, h, h)
        return x.flatten(1)  # (n, 16 width)

    def layers_from_image(self) -> list[Layer]:
        """The convolutions."""
        return list(zip(self.convs, self.norms, strict=True))


class ALIDiscriminator(Discriminator):
    """Discriminator of ALI's CIFAR-10 runs, from the authors' code.

    Three parts of maxout convolutions with two pieces: of images, like the encoder's; of latents, two layers of 1x1; of
    both, two layers of 1x1. No norms; dropout where the code has it. Numbers of channels count all pieces.

    Args:
        channels: Channels of the images; with latents those of `WithLatents` included.
        resolution: Resolution of the images: 32.
        width: Channels at 28 pixels.
        norm: Must be `none`: the dropout is made for networks without norms.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.
        latent_dim: The last `latent_dim` channels are latents as constant maps; None for none.
        dropout: Probability of dropping a hidden unit, in [0, 1].
        input_dropout: Probability of dropping an input, in [0, 1].

    Raises:
        ValueError: The resolution, norm or init is not allowed, or there are no channels besides the latents.
    """

    def __init__(
        self,
        channels: int,
        resolution: int | None,
        width: int = 32,
        norm: str = "none",
        init: str = "normal",
        init_scale: float = 0.01,
        latent_dim: int | None = None,
        dropout: float = 0.5,
        input_dropout: float = 0.2,
    ) -> None:
        super().__init__()
        _require_resolution(resolution)
        require_norm(norm)
        if norm != "none":
            raise ValueError(f"norm={norm} is not allowed: this discriminator has no norms; it must be none")
        self.sizes = sizes_of_pair(channels, latent_dim)
        c = width // 2  # channels at 28 pixels after the maxout
        self.of_samples = nn.Sequential(
            nn.Dropout(input_dropout), nn.Conv2d(self.sizes[0], 2 * c, 5), _Maxout(),
            nn.Dropout(dropout), nn.Conv2d(c, 4 * c, 4, 2, bias=False), _Maxout(),
            nn.Conv2d(2 * c, 8 * c, 4, bias=False), nn.Dropout(dropout), _Maxout(),
            nn.Conv2d(4 * c, 16 * c, 4, 2, bias=False), _Maxout(),
            nn.Dropout(dropout), nn.Conv2d(8 * c, 32 * c, 4, bias=False), _Maxout(),
        )  # fmt: skip
        self.of_latents = nn.Sequential(
            nn.Dropout(input_dropout), nn.Linear(latent_dim, 32 * c, bias=False), _Maxout(),
            nn.Dropout(dropout), nn.Linear(16 * c, 32 * c, bias=False), _Maxout(),
        ) if latent_dim else None  # fmt: skip
        self.of_both = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(32 * c if latent_dim else 16 * c, 64 * c), _Maxout(),
            nn.Dropout(dropout), nn.Linear(32 * c, 64 * c), _Maxout(),
            nn.Dropout(dropout),
        )  # fmt: skip
        self.output = nn.Linear(32 * c, 1)
        initialize(self, init, init_scale)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, 16 width) of images (n, channels, 32, 32) in [-1, 1], with or without latents."""
        samples, latents = split_pair(x, self.sizes)
        x = self.of_samples(samples).flatten(1)  # (n, 8 width)
        if self.of_latents is not None:
            x = torch.cat([x, self.of_latents(latents)], 1)  # (n, 16 width)
        return self.of_both(x)


class _Maxout(nn.Module):
    """Maximum of two consecutive channels."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, 2 c, ...) to (n, c, ...)."""
        return x.unflatten(1, (-1, 2)).amax(2)


def _require_resolution(resolution: int | None) -> None:
    if resolution != RESOLUTION:
        raise ValueError(f"resolution={resolution} is not allowed: ALI's networks are for {RESOLUTION} pixels")
