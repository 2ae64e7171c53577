"""BiGAN's fully connected networks for MNIST (Donahue et al., 2017)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator, Layer
from gan_lab.layers.initialization import initialize
from gan_lab.layers.normalization import normalization

SLOPE = 0.2


class BiGANGenerator(nn.Module):
    """Generator of BiGAN's permutation-invariant MNIST runs, from the authors' code.

    Two hidden layers of `width` ReLU units with a norm, and a sigmoid, scaled from the code's [0, 1] to [-1, 1]. The
    latents are inputs of the second hidden layer, too. No layer has a bias, and batch norms have no gain and shift.

    Args:
        latent_dim: Size of a latent.
        channels: Channels of the images, or coordinates of points.
        resolution: Resolution of the images, any; None for points, which are unbounded.
        width: Units of a hidden layer.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.

    Raises:
        ValueError: The norm or init is not allowed.
    """

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        resolution: int | None,
        width: int = 1024,
        norm: str = "batch",
        init: str = "normal",
        init_scale: float = 0.02,
    ) -> None:
        super().__init__()
        self.shape = (channels,) if resolution is None else (channels, resolution, resolution)
        self.first = nn.Linear(latent_dim, width, bias=False)
        self.first_norm = _norm(norm, width)
        self.second = nn.Linear(width + latent_dim, width, bias=False)
        self.second_norm = _norm(norm, width)
        self.output = nn.Linear(width, torch.Size(self.shape).numel(), bias=False)
        initialize(self, init, init_scale)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples for latents (n, latent_dim): images (n, C, H, W) in [-1, 1] or points (n, channels), unbounded."""
        x = F.relu(self.first_norm(self.first(latents)))  # (n, width)
        x = F.relu(self.second_norm(self.second(torch.cat([x, latents.to(x.dtype)], 1))))  # (n, width)
        x = self.output(x)  # (n, C H W) or (n, channels)
        return x if len(self.shape) == 1 else (2 * torch.sigmoid(x) - 1).unflatten(1, self.shape)  # (n, C, H, W)


class BiGANDiscriminator(Discriminator):
    """Discriminator, and with the wrapper `Encoding` encoder, of BiGAN's permutation-invariant MNIST runs.

    Two hidden layers of `width` leaky ReLU units of slope 0.2, the second with a norm, from the authors' code. Images
    are scaled to its [0, 1], in which the black border of digits adds nothing to any unit. The discriminator's latents
    are inputs of the second layer. No layer has a bias, and batch norms have no gain and shift.

    Args:
        channels: Channels of the images, or coordinates of points; with latents those of `WithLatents` included.
        resolution: Resolution of the images, any; None for points.
        width: Units of a hidden layer.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.
        latent_dim: The last `latent_dim` channels are latents as constant maps; None for none.

    Raises:
        ValueError: The norm or init is not allowed, or there are no channels besides the latents.
    """

    def __init__(
        self,
        channels: int,
        resolution: int | None,
        width: int = 1024,
        norm: str = "batch",
        init: str = "normal",
        init_scale: float = 0.02,
        latent_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.sizes = sizes_of_pair(channels, latent_dim)
        self.is_of_images = resolution is not None
        pixels = 1 if resolution is None else resolution**2
        self.first = nn.Linear(self.sizes[0] * pixels, width, bias=False)
        self.second = nn.Linear(width + self.sizes[1], width, bias=False)
        self.second_norm = _norm(norm, width)
        self.output = nn.Linear(width, 1, bias=False)
        initialize(self, init, init_scale)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, width) of images (n, channels, H, W) in [-1, 1], or points (n, channels)."""
        samples, latents = split_pair(x, self.sizes)
        samples = (samples + 1) / 2 if self.is_of_images else samples
        x = F.leaky_relu(self.first(samples.flatten(1)), SLOPE)  # (n, width)
        x = self.second_norm(self.second(torch.cat([x, latents.to(x.dtype)], 1)))  # (n, width)
        return F.leaky_relu(x, SLOPE)

    def layers_from_image(self) -> list[Layer]:
        """The hidden layers."""
        return [(self.first,), (self.second, self.second_norm)]


def sizes_of_pair(channels: int, latent_dim: int | None) -> tuple[int, int]:
    """Channels of the samples and numbers of the latents in pairs of `WithLatents`.

    Raises:
        ValueError: There are no channels besides the latents.
    """
    latent_dim = latent_dim or 0
    if channels <= latent_dim:
        raise ValueError(
            f"latent_dim={latent_dim} is not allowed: it must be below the {channels} channels of sample and latent"
        )
    return channels - latent_dim, latent_dim


def split_pair(pairs: Tensor, sizes: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Samples (n, C, ...) and latents (n, latent_dim), of pairs (n, C + latent_dim, ...) of `WithLatents`."""
    samples, maps = pairs.split(sizes, 1)
    return samples, maps if maps.dim() == 2 else maps[:, :, 0, 0]


def _norm(name: str, width: int) -> nn.Module:
    """A norm of (n, width); batch norm without gain and shift, as in the authors' code."""
    return nn.BatchNorm1d(width, affine=False) if name == "batch" else normalization(name, width, 0)
