"""Networks of LAPGAN: a generator and a discriminator for each level of a Laplacian pyramid (Denton et al., 2015).

The formulas and sizes are those of the authors' code for CIFAR-10, with the coarsest level of the paper by default.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.mlp import MLPDiscriminator
from gan_lab.layers.initialization import initialize
from gan_lab.layers.labeled import TakesMixtures, one_hot
from gan_lab.layers.laplacian import LaplacianPyramid
from gan_lab.layers.memory import use_channels_last
from gan_lab.layers.normalization import normalization
from gan_lab.layers.pyramid_resolutions import require_resolutions

CONDITIONS = ("sum", "concat")
ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}


class LaplacianGenerator(nn.Module):
    """The generators of all levels, G_0 to G_K, as one network: it samples I_K = G_K(z_K) and adds finer differences.

    I_k = u(I_{k+1}) + G_k(z_k, u(I_{k+1})) for k = K - 1, ..., 0. A latent has all z_k, the coarsest level first: the
    noise of a level k < K is one plane, a number for each pixel. The image is not limited in training mode, and clipped
    to [-1, 1] in evaluation mode. Levels are numbered from the image on: level 0 is the finest.

    Args:
        latent_dim: Size of a latent; what the planes of noise leave is the size of z_K, 100 in the paper.
        channels: Channels of the images.
        resolution: Resolution of the images.
        width: Channels of a map ("planes"); 64 in the code for CIFAR-10, 128 for LSUN.
        norm: `none`, as in the code, `batch` or `layer`, see `normalization`; of the levels k < K.
        init: Scheme of the initial weights of the levels k < K, see `initialize`; the code has Torch's default.
        init_scale: Its scale.
        resolutions: Of the images of each level, from coarse to fine; None for `default_resolutions`.
        hidden: Units of the two hidden layers of the coarsest level; 1200 in the paper, 8000 in the code.
        hidden_activation: Of its second hidden layer; `relu`, or `sigmoid` as in the code.
        coarsest_init_scale: Its weights are N(0, coarsest_init_scale^2) at first.
        upsampling: u: `bilinear` or `nearest`.
        num_classes: Number of labels; None for networks without labels. A linear layer and ReLU turn the one-hot label
            into one more plane, as in the code; at the coarsest level it is concatenated to the latent, our choice.

    Raises:
        ValueError: The data are points, or an option is not allowed.
    """

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        resolution: int | None,
        width: int = 64,
        norm: str = "none",
        init: str = "default",
        init_scale: float = 1.0,
        resolutions: Sequence[int] | None = None,
        hidden: int = 1200,
        hidden_activation: str = "relu",
        coarsest_init_scale: float = 0.05,
        upsampling: str = "bilinear",
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        *finer, coarsest = reversed(require_resolutions(resolutions, resolution))
        self.pyramid = LaplacianPyramid([*finer, coarsest], upsampling)
        planes = sum(size**2 for size in finer)
        if latent_dim <= planes:
            raise ValueError(
                f"latent.dim={latent_dim} is too small: the levels above the coarsest take {planes} numbers of noise; "
                f"set latent.dim={planes + 100}"
            )
        self.latent_sizes = [size**2 for size in finer] + [latent_dim - planes]  # of each level
        levels: list[nn.Module] = [_LevelGenerator(channels, size, width, norm, num_classes) for size in finer]
        for level in levels:
            initialize(level, init, init_scale)
        last = _CoarsestGenerator(latent_dim - planes, channels, coarsest, hidden, hidden_activation, num_classes)
        initialize(last, "normal", coarsest_init_scale)
        self.levels = nn.ModuleList([*levels, last])
        use_channels_last(self)

    def latents_of(self, level: int, latents: Tensor) -> Tensor:
        """The part z_k, (n, size), of latents (n, latent_dim)."""
        return latents.split(self.latent_sizes[::-1], 1)[::-1][level]

    def images(self, latents: Tensor, labels: Tensor | None = None) -> list[Tensor]:
        """I_K, ..., I_0, from coarse to fine, for latents (n, latent_dim) and labels int64 (n,)."""
        coarsest = self.pyramid.coarsest
        found = [self.levels[coarsest](self.latents_of(coarsest, latents), None, labels)]
        for level in range(coarsest - 1, -1, -1):
            coarse = self.pyramid.enlarged(found[-1], level)
            found.append(coarse + self.levels[level](self.latents_of(level, latents), coarse, labels))
        return found

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, channels, resolution, resolution) for latents (n, latent_dim) and labels int64 (n,)."""
        image = self.images(latents, labels)[-1]
        return image if self.training else image.clamp(-1, 1)


class _LevelGenerator(nn.Module):
    """G_k of a level k < K: two 7x7 convolutions with ReLU, and a 5x5 convolution to the difference."""

    def __init__(self, channels: int, resolution: int, width: int, norm: str, num_classes: int | None) -> None:
        super().__init__()
        self.resolution = resolution
        self.label_plane = _LabelPlane(num_classes, resolution)
        self.layers = nn.Sequential(
            nn.Conv2d(1 + channels + self.label_plane.count, width, 7, padding=3), normalization(norm, width, 2),
            nn.ReLU(),
            nn.Conv2d(width, width, 7, padding=3), normalization(norm, width, 2), nn.ReLU(),
            nn.Conv2d(width, channels, 5, padding=2),
        )  # fmt: skip

    def forward(self, latents: Tensor, coarse: Tensor, labels: Tensor | None = None) -> Tensor:
        """Differences (n, C, s, s) for noise (n, s²) and coarse images u(I_{k+1}), (n, C, s, s)."""
        plane = latents.unflatten(1, (1, self.resolution, self.resolution))
        return self.layers(self.label_plane(torch.cat([plane, coarse], 1), labels))


class _CoarsestGenerator(TakesMixtures, nn.Module):
    """G_K: fully connected with two hidden layers and a linear output."""

    averaged: ClassVar[str] = "one-hot vectors"

    def __init__(
        self, latent_dim: int, channels: int, resolution: int, hidden: int, activation: str, num_classes: int | None
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"hidden_activation must be {' or '.join(ACTIVATIONS)}, not {activation!r}")
        self.shape = (channels, resolution, resolution)
        self.num_classes = num_classes
        self.layers = nn.Sequential(
            nn.Linear(latent_dim + (num_classes or 0), hidden), nn.ReLU(),
            nn.Linear(hidden, hidden), ACTIVATIONS[activation](),
            nn.Linear(hidden, channels * resolution * resolution),
        )  # fmt: skip

    def forward(self, latents: Tensor, coarse: None = None, labels: Tensor | None = None) -> Tensor:
        """Images (n, C, s, s) for latents (n, size)."""
        return self.layers(_with_one_hot(latents, labels, self.num_classes)).unflatten(1, self.shape)


class LaplacianDiscriminator(Discriminator):
    """The discriminators of all levels, D_0 to D_K. As a network of its own it is D_0, which scores complete images.

    D_k of a level k < K sees l + h, an image of that level: with `condition="sum"`, as in the authors' code, it does
    not know the coarse image l = u(I_{k+1}); with `condition="concat"`, the usual form of a conditional GAN, it sees h
    and l as separate channels.

    Args:
        channels: Channels of the images.
        resolution: Resolution of the images.
        width: Channels of a map.
        norm: `none`, as in the code, `batch` or `layer`, see `normalization`; of the levels k < K. A gradient penalty
            needs `none` or `layer`.
        init: Scheme of the initial weights of the levels k < K, see `initialize`; the code has Torch's default.
        init_scale: Its scale.
        resolutions: Of the images of each level, from coarse to fine; None for `default_resolutions`.
        condition: `sum` or `concat`.
        hidden: Units of the two hidden layers of the coarsest level; 600 in the paper, 1600 in the code.
        dropout: Probability of dropping an input of the last layer, and a hidden unit of the coarsest level.
        coarsest_init_scale: The weights of the coarsest level are N(0, coarsest_init_scale^2) at first.
        upsampling: u: `bilinear` or `nearest`.
        num_classes: Number of labels; None for networks without labels. See `LaplacianGenerator`.

    Raises:
        ValueError: The data are points, or an option is not allowed.
    """

    def __init__(
        self,
        channels: int,
        resolution: int | None,
        width: int = 64,
        norm: str = "none",
        init: str = "default",
        init_scale: float = 1.0,
        resolutions: Sequence[int] | None = None,
        condition: str = "sum",
        hidden: int = 600,
        dropout: float = 0.5,
        coarsest_init_scale: float = 0.005,
        upsampling: str = "bilinear",
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        if condition not in CONDITIONS:
            raise ValueError(f"condition must be {' or '.join(CONDITIONS)}, not {condition!r}")
        *finer, coarsest = reversed(require_resolutions(resolutions, resolution))
        self.pyramid = LaplacianPyramid([*finer, coarsest], upsampling)
        self.concatenates = condition == "concat"
        seen = 2 * channels if self.concatenates else channels
        levels: list[nn.Module] = [_LevelDiscriminator(seen, size, width, norm, dropout, num_classes) for size in finer]
        for level in levels:
            initialize(level, init, init_scale)
        last = _CoarsestDiscriminator(channels, coarsest, hidden, dropout, coarsest_init_scale, num_classes)
        self.levels = nn.ModuleList([*levels, last])
        use_channels_last(self)

    @property
    def output(self) -> nn.Linear:  # type: ignore[override]
        """Refused: wrappers that change the last layer of a discriminator would change that of one level."""
        raise ValueError(
            "the discriminators of architecture=lapgan have a last layer at each level; remove wrapper/discriminator, "
            "and set conditioning=none or mapping"
        )

    def joined(self, images: Tensor, coarse: Tensor | None) -> Tensor:
        """The input of D_k for images l + h and coarse images l, (n, C, s, s); at the coarsest level l is None.

        Returns:
            The images; or h and l as (n, 2 C, s, s).
        """
        return images if coarse is None or not self.concatenates else torch.cat([images - coarse, coarse], 1)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, d) of D_0 for complete images (n, C, R, R)."""
        return cast(Any, self.levels[0]).features(self.joined(x, self.pyramid.coarse(x, 0)), labels)

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (n,) of D_0 for its features (n, d)."""
        return cast(Any, self.levels[0]).head(features)


class _LevelDiscriminator(Discriminator):
    """D_k of a level k < K: two 5x5 convolutions without padding, the second with stride 2, dropout, a linear layer.

    Images below 9 pixels, which they would leave nothing of, are padded.
    """

    def __init__(
        self, channels: int, resolution: int, width: int, norm: str, dropout: float, num_classes: int | None
    ) -> None:
        super().__init__()
        padding = 2 if resolution < 9 else 0
        size = (resolution + 4 * padding - 9) // 2 + 1
        self.label_plane = _LabelPlane(num_classes, resolution)
        self.layers = nn.Sequential(
            nn.Conv2d(channels + self.label_plane.count, width, 5, 1, padding), normalization(norm, width, 2),
            nn.ReLU(),
            nn.Conv2d(width, width, 5, 2, padding), normalization(norm, width, 2), nn.ReLU(),
            nn.Flatten(), nn.Dropout(dropout),
        )  # fmt: skip
        self.output = nn.Linear(width * size**2, 1)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, d) of the input (n, channels, s, s), see `LaplacianDiscriminator.joined`."""
        return self.layers(self.label_plane(x, labels))


class _CoarsestDiscriminator(Discriminator):
    """D_K: fully connected with two hidden layers and dropout."""

    def __init__(
        self, channels: int, resolution: int, hidden: int, dropout: float, init_scale: float, num_classes: int | None
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        size = channels * resolution**2 + (num_classes or 0)
        network = MLPDiscriminator(size, None, hidden, init="normal", init_scale=init_scale, depth=2, dropout=dropout)
        self.layers, self.output = network.hidden, network.output

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, hidden) of images (n, C, s, s)."""
        x = _with_one_hot(x.flatten(1), labels, self.num_classes)
        for layer in self.layers:
            x = layer(x)
        return x


class _LabelPlane(nn.Module):
    """Adds a plane to images: ReLU of a linear function of the one-hot label; nothing without labels."""

    def __init__(self, num_classes: int | None, resolution: int) -> None:
        super().__init__()
        self.num_classes, self.resolution = num_classes, resolution
        self.count = 0 if num_classes is None else 1  # planes
        if num_classes is not None:
            self.linear = nn.Linear(num_classes, resolution**2)

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Images (n, C + 1, s, s) for images (n, C, s, s) and labels int64 (n,)."""
        if self.num_classes is None:
            return images
        plane = F.relu(self.linear(_one_hot(labels, self.num_classes, images)))
        return torch.cat([images, plane.unflatten(1, (1, self.resolution, self.resolution))], 1)


def _with_one_hot(x: Tensor, labels: Tensor | None, num_classes: int | None) -> Tensor:
    """x (n, d) with the one-hot labels, if the network takes labels."""
    return x if num_classes is None else torch.cat([x, _one_hot(labels, num_classes, x)], 1)


def _one_hot(labels: Tensor | None, num_classes: int, like: Tensor) -> Tensor:
    if labels is None:
        raise ValueError("this network is conditional: call it with labels")
    return one_hot(labels, num_classes, like)
