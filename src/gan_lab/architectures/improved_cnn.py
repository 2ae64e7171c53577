"""Convolutional networks of the semi-supervised GAN for CIFAR-10 and SVHN (Salimans et al., 2016, code)."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator, Layer
from gan_lab.architectures.sizes import require_power_of_two
from gan_lab.layers.gaussian_noise import GaussianNoise
from gan_lab.layers.initialization import initialize
from gan_lab.layers.memory import use_channels_last
from gan_lab.layers.normalization import normalization
from gan_lab.layers.weight_norm import normalize_weight
from gan_lab.ranges import require_at_least, require_positive

SLOPE = 0.2


class ImprovedCNNGenerator(nn.Module):
    """Generator of the authors' CIFAR-10 code: transposed 5x5 convolutions, the last one with weight norm.

    A linear layer to 4x4 with a norm of each unit and ReLU; then transposed convolutions of stride 2 that double the
    resolution and halve the channels, each with norm and ReLU except the last, which ends in tanh. The lengths of its
    weight vectors are learned from 0.3, in place of the code's standard deviation of 0.1 on a first batch. The batch
    norm of the code has no gain.

    Args:
        latent_dim: Size of a latent.
        channels: Channels of the images.
        resolution: Resolution of the images: a power of two from 16 to 1024.
        width: Channels at half the resolution.
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
        width: int = 128,
        norm: str = "batch",
        init: str = "normal",
        init_scale: float = 0.05,
    ) -> None:
        super().__init__()
        levels = require_power_of_two("improved_cnn", resolution, 16, 1024).bit_length() - 3
        widths = [width * 2**level for level in reversed(range(levels))]  # at 4, 8, ..., resolution / 2
        bias = norm == "none"
        self.project = nn.Linear(latent_dim, 4 * 4 * widths[0], bias=bias)
        self.project_norm = normalization(norm, 4 * 4 * widths[0], 0)
        self.convs = nn.ModuleList(nn.ConvTranspose2d(i, o, 5, 2, 2, 1, bias=bias) for i, o in pairwise(widths))
        self.norms = nn.ModuleList(normalization(norm, o, 2) for o in widths[1:])
        self.output = nn.ConvTranspose2d(widths[-1], channels, 5, 2, 2, 1)
        initialize(self, init, init_scale)
        use_channels_last(self)
        normalize_weight(self.output, 0.3, learned=True)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, channels, resolution, resolution) in [-1, 1] for latents (n, latent_dim)."""
        x: Tensor = F.relu(self.project_norm(self.project(latents)))  # (n, 16 c)
        # With the channels last in memory, the convolutions get channels_last without a copy.
        x = x.unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)  # (n, c, 4, 4)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))  # (n, c / 2, 2 h, 2 w)
        return torch.tanh(self.output(x))  # (n, channels, resolution, resolution)


class ImprovedCNNDiscriminator(Discriminator):
    """Discriminator of the authors' CIFAR-10 code: nine convolutions with weight norm, dropout, and a mean over pixels.

    Three 3x3 convolutions of `width` channels, the third with stride 2, and three of twice as many, alike, each group
    after dropout; dropout, a 3x3 convolution without padding, two 1x1 convolutions; all with leaky ReLU of slope 0.2.
    The weight vectors have the constant `length`; the code sets each one, and the bias, such that the channel has mean
    0 and variance 1 on a first batch. Its output layer learns its lengths; here it is a plain linear layer.

    Args:
        channels: Channels of the images.
        resolution: Resolution of the images: a power of two from 16 to 1024.
        width: Channels of the first three convolutions.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`; only their directions matter, except in the output layer.
        init_scale: Scale of the initial weights.
        input_dropout: Probability of dropping an input, in [0, 1].
        dropout: Probability of dropping a unit before the second and third group, in [0, 1].
        input_noise: Standard deviation of the noise on the input; the code for minibatch discrimination has 0.2 in
            place of the input's dropout.
        length: Length of the weight vectors of the convolutions.

    Raises:
        ValueError: The resolution or an option is not allowed.
    """

    def __init__(
        self,
        channels: int,
        resolution: int | None,
        width: int = 96,
        norm: str = "none",
        init: str = "normal",
        init_scale: float = 0.05,
        input_dropout: float = 0.2,
        dropout: float = 0.5,
        input_noise: float = 0.0,
        length: float = 1.4,
    ) -> None:
        super().__init__()
        require_power_of_two("improved_cnn", resolution, 16, 1024)
        require_at_least("architecture.discriminator.input_noise", input_noise, 0)
        require_positive("architecture.discriminator.length", length)
        bias = norm == "none"
        wide = 2 * width

        def layer(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, padding: int = 1) -> nn.Sequential:
            conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=bias)
            return nn.Sequential(conv, normalization(norm, outputs, 2), nn.LeakyReLU(SLOPE))

        self.input = nn.Sequential(GaussianNoise(input_noise), nn.Dropout(input_dropout))
        self.dropout = nn.Dropout(dropout)
        self.groups = nn.ModuleList(
            [
                nn.ModuleList([layer(channels, width), layer(width, width), layer(width, width, stride=2)]),
                nn.ModuleList([layer(width, wide), layer(wide, wide), layer(wide, wide, stride=2)]),
                nn.ModuleList([layer(wide, wide, padding=0), *(layer(wide, wide, 1, padding=0) for _ in range(2))]),
            ]
        )
        self.output = nn.Linear(wide, 1)
        initialize(self, init, init_scale)
        use_channels_last(self)
        for (conv,) in self.layers_from_image():
            normalize_weight(conv[0], length)  # type: ignore[index]

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Mean over the pixels of the last hidden layer, (n, 2 width), of images (n, C, H, W) in [-1, 1]."""
        x = self.input(x)
        for number, group in enumerate(self.groups):
            x = self.dropout(x) if number else x
            for layer in group:  # type: ignore[attr-defined]
                x = layer(x)
        return x.mean((2, 3))

    def layers_from_image(self) -> list[Layer]:
        """The convolutions, each with its norm."""
        return [(layer,) for group in self.groups for layer in group]  # type: ignore[attr-defined]
