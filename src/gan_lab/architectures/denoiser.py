"""Denoiser of the features of a discriminator."""

from itertools import pairwise

from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.wrapped import last_layer
from gan_lab.layers.initialization import initialize
from gan_lab.layers.normalization import normalization


class Denoiser(nn.Module):
    """Fully connected denoiser of a discriminator's features (Warde-Farley & Bengio, 2017, section 5).

    `depth` times linear, norm, ReLU; then a linear layer back to the size of the features. Linear layers before a norm
    have no bias.

    Args:
        discriminator: The discriminator, with any wrappers; only the input size of its output layer is read.
        width: Units of a hidden layer.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.
        depth: Number of hidden layers; with 0 the denoiser is affine.

    Raises:
        ValueError: The norm, init or depth is not allowed.
    """

    def __init__(
        self,
        discriminator: Discriminator,
        width: int = 1024,
        norm: str = "batch",
        init: str = "he",
        init_scale: float = 1.0,
        depth: int = 5,
    ) -> None:
        super().__init__()
        if depth < 0:
            raise ValueError(f"architecture.denoiser.depth={depth} is not allowed: it must be at least 0")
        size = last_layer(discriminator).in_features
        sizes = [size] + [width] * depth
        layers = (
            nn.Sequential(nn.Linear(i, o, bias=norm == "none"), normalization(norm, o, 0), nn.ReLU())
            for i, o in pairwise(sizes)
        )
        self.hidden = nn.Sequential(*layers)
        self.output = nn.Linear(sizes[-1], size)
        initialize(self, init, init_scale)

    def forward(self, features: Tensor) -> Tensor:
        """Denoised features (n, d)."""
        return self.output(self.hidden(features))
