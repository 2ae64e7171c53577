"""Fully connected networks of the semi-supervised GAN for MNIST (Salimans et al., 2016, code)."""

from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator, Layer
from gan_lab.layers.gaussian_noise import GaussianNoise
from gan_lab.layers.initialization import initialize
from gan_lab.layers.normalization import normalization
from gan_lab.layers.weight_norm import normalize_weight
from gan_lab.ranges import require_at_least, require_positive


class ImprovedMLPGenerator(nn.Module):
    """Generator of the authors' MNIST code: two hidden layers with softplus, and an output layer with weight norm.

    Linear, norm and softplus twice, then a linear layer whose weight vectors start with length 1 and learn it, and a
    sigmoid, here of images in [-1, 1]: tanh(x / 2); for points it is left out. The batch norm of the code has no gain.

    Args:
        latent_dim: Size of a latent.
        channels: Channels of the images, or coordinates of the points.
        resolution: Resolution of the images, any; None for points.
        width: Units of a hidden layer.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.

    Raises:
        ValueError: The norm or init is not allowed.
    """

    first_layers: ClassVar[tuple[str, ...]] = ("hidden.0.0", "hidden.0.1")

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        resolution: int | None,
        width: int = 500,
        norm: str = "batch",
        init: str = "glorot",
        init_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.shape = (channels,) if resolution is None else (channels, resolution, resolution)
        self.hidden = nn.ModuleList(
            nn.Sequential(nn.Linear(i, o, bias=norm == "none"), normalization(norm, o, 0), nn.Softplus())
            for i, o in pairwise([latent_dim, width, width])
        )
        self.output = nn.Linear(width, torch.Size(self.shape).numel())
        initialize(self, init, init_scale)
        normalize_weight(self.output, 1.0, learned=True)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples for latents (n, latent_dim): images (n, C, H, W) in [-1, 1] or points (n, channels), unbounded."""
        x = latents
        for layer in self.hidden:
            x = layer(x)  # (n, width)
        x = self.output(x)  # (n, C H W) or (n, channels)
        return x if len(self.shape) == 1 else torch.tanh(x / 2).unflatten(1, self.shape)  # (n, C, H, W)


class ImprovedMLPDiscriminator(Discriminator):
    """Discriminator of the authors' MNIST code: five ReLU layers with weight norm, and noise before every layer.

    The layers have 1, 1/2, 1/4, 1/4 and 1/4 times `width` units. Their weight vectors have the constant `length`, so
    that they cannot outgrow the noise. The code sets each length, and the bias, such that the unit has mean 0 and
    variance 1 on a first batch; here all are alike. Its output layer learns its lengths, a reparametrization; here it
    is a plain linear layer.

    Args:
        channels: Channels of the images, or coordinates of the points.
        resolution: Resolution of the images, any; None for points.
        width: Units of the first hidden layer.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`; only their directions matter, except in the output layer.
        init_scale: Scale of the initial weights.
        input_noise: Standard deviation of the noise on the input; 0.6 in [-1, 1] is the code's 0.3 in [0, 1].
        noise: Standard deviation of the noise on each hidden layer.
        length: Length of the weight vectors of the hidden layers.

    Raises:
        ValueError: An option is not allowed.
    """

    def __init__(
        self,
        channels: int,
        resolution: int | None,
        width: int = 1000,
        norm: str = "none",
        init: str = "normal",
        init_scale: float = 0.1,
        input_noise: float = 0.6,
        noise: float = 0.5,
        length: float = 1.4,
    ) -> None:
        super().__init__()
        for name, value in (("input_noise", input_noise), ("noise", noise)):
            require_at_least(f"architecture.discriminator.{name}", value, 0)
        require_positive("architecture.discriminator.length", length)
        size = channels if resolution is None else channels * resolution**2
        widths = [max(width // divisor, 1) for divisor in (1, 2, 4, 4, 4)]
        self.input_noise = GaussianNoise(input_noise)
        self.noise = GaussianNoise(noise)
        self.hidden = nn.ModuleList(
            nn.Sequential(nn.Linear(i, o, bias=norm == "none"), normalization(norm, o, 0), nn.ReLU())
            for i, o in pairwise([size, *widths])
        )
        self.output = nn.Linear(widths[-1], 1)
        initialize(self, init, init_scale)
        for layer in self.hidden:
            normalize_weight(layer[0], length)  # type: ignore[index]

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, width / 4) of images (n, C, H, W) in [-1, 1] or points (n, channels)."""
        first, *others = self.hidden
        x = first(self.input_noise(x.flatten(1)))  # (n, width)
        for layer in others:
            x = layer(self.noise(x))
        return x

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (n,) of features (n, d)."""
        return super().head(self.noise(features), labels)

    def layers_from_image(self) -> list[Layer]:
        """The hidden layers."""
        return [(layer,) for layer in self.hidden]
