"""Residual networks of WGAN-GP (Gulrajani et al., 2017, App. F) and SN-GAN (Miyato et al., 2018, Table 4)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.sizes import require_power_of_two
from gan_lab.layers.initialization import initialize
from gan_lab.layers.memory import use_channels_last
from gan_lab.layers.normalization import normalization

# No ReLU here works in place: a block's skip reads the value from before its first ReLU.


class ResNetGenerator(nn.Module):
    """Residual generator of WGAN-GP's (App. F) and SN-GAN's (Table 4) CIFAR experiments.

    A linear layer to 4x4, pre-activation blocks that double the side at constant width up to the resolution, then norm,
    ReLU, a 3x3 convolution and tanh. WGAN-GP has `width` 128, SN-GAN 256. All layers have biases.

    Args:
        latent_dim: Size of a latent.
        channels: Channels of the images.
        resolution: Side of the images: a power of two from 16 to 1024, 32 in the papers.
        width: Channels of every block.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`. Both papers' code has `glorot` with scale sqrt(2) for
            the blocks' 3x3 convolutions, and with scale 1 for all other layers.
        init_scale: Scale for the blocks' 3x3 convolutions.
        skip_gain: Times `init_scale`, the scale of the 1x1 skips and of the first and last layer; 1 / sqrt(2) in the
            papers.

    Raises:
        ValueError: The resolution, norm or init is not one of the allowed.
    """

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        resolution: int | None,
        width: int = 128,
        norm: str = "batch",
        init: str = "glorot",
        init_scale: float = 2**0.5,
        skip_gain: float = 0.5**0.5,
    ) -> None:
        super().__init__()
        side = require_power_of_two("resnet", resolution, 16, 1024)
        self.project = nn.Linear(latent_dim, 4 * 4 * width)
        self.blocks = nn.ModuleList(UpBlock(width, norm) for _ in range((side // 4).bit_length() - 1))
        self.output_norm = normalization(norm, width, 2)
        self.output = nn.Conv2d(width, channels, 3, 1, 1)
        _initialize(self, [self.project, self.output], init, init_scale, skip_gain)
        use_channels_last(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Images (n, channels, resolution, resolution) in [-1, 1] for latents (n, latent_dim)."""
        x: Tensor = self.project(latents)  # (n, 16 width)
        # The channels are innermost, so that the convolutions get channels_last without a copy.
        x = x.unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)  # (n, width, 4, 4)
        for block in self.blocks:
            x = block(x)  # (n, width, 2 h, 2 w)
        return torch.tanh(self.output(F.relu(self.output_norm(x))))  # (n, channels, resolution, resolution)


class ResNetDiscriminator(nn.Module):
    """Residual discriminator of WGAN-GP's (App. F) and SN-GAN's (Table 4) CIFAR experiments.

    Blocks that halve the side down to 8x8, two blocks at 8x8, ReLU, a pool over the pixels and a linear layer, at
    constant width (128 in both papers). The first block has no norm and no ReLU before its first convolution. All
    layers but the last always have biases. SN-GAN's spectral normalization is not part of this class.

    Args:
        channels: Channels of the images.
        resolution: Side of the images: a power of two from 16 to 1024, 32 in the papers.
        width: Channels of every block.
        norm: `none`, `batch` or `layer`, see `normalization`; before every ReLU of the blocks after the first.
            A gradient penalty rules `batch` out.
        init: Scheme of the initial weights, see `initialize` and the generator.
        init_scale: Scale for the blocks' 3x3 convolutions.
        skip_gain: Times `init_scale`, the scale of the 1x1 skips and of the last layer; 1 / sqrt(2) in the papers.
        pool: `mean` (WGAN-GP) or `sum` (SN-GAN) over the last 8x8 pixels.
        head_bias: Whether the last linear layer has a bias: WGAN-GP's has, SN-GAN's has not.

    Raises:
        ValueError: The resolution, norm, init or pool is not one of the allowed.
    """

    def __init__(
        self,
        channels: int,
        resolution: int | None,
        width: int = 128,
        norm: str = "none",
        init: str = "glorot",
        init_scale: float = 2**0.5,
        skip_gain: float = 0.5**0.5,
        pool: str = "mean",
        head_bias: bool = True,
    ) -> None:
        super().__init__()
        side = require_power_of_two("resnet", resolution, 16, 1024)
        if pool not in ("mean", "sum"):
            raise ValueError(f"pool must be one of mean, sum, not {pool!r}")
        self.pool = pool
        self.input = InputBlock(channels, width)
        downs = (side // 8).bit_length() - 2  # the input block is the first halving
        self.blocks = nn.ModuleList(DownBlock(width, norm, down=i < downs) for i in range(downs + 2))
        self.output = nn.Linear(width, 1, bias=head_bias)
        _initialize(self, [self.output], init, init_scale, skip_gain)
        use_channels_last(self)

    def features(self, x: Tensor) -> Tensor:
        """Pooled last hidden layer (n, width) of images (n, channels, resolution, resolution) in [-1, 1]."""
        x = self.input(x)  # (n, width, resolution / 2, resolution / 2)
        for block in self.blocks:
            x = block(x)  # (n, width, 8, 8) at the end
        x = F.relu(x)
        return x.mean((2, 3)) if self.pool == "mean" else x.sum((2, 3))  # (n, width)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n,) of images (n, channels, resolution, resolution) in [-1, 1]."""
        logits: Tensor = self.output(self.features(x))  # (n, 1)
        return logits.squeeze(1)  # (n,)


class UpBlock(nn.Module):
    """Pre-activation block that doubles the side: norm, ReLU, upsample, 3x3, norm, ReLU, 3x3; skip: upsample, 1x1.

    WGAN-GP's App. F upsamples before the second convolution; its code and SN-GAN's do so before the first, as here.
    (n, width, h, w) to (n, width, 2 h, 2 w).

    Args:
        width: Channels.
        norm: See `normalization`.
    """

    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        self.norm1 = normalization(norm, width, 2)
        self.conv1 = nn.Conv2d(width, width, 3, 1, 1)
        self.norm2 = normalization(norm, width, 2)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1)
        self.skip = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, 2 h, 2 w) for (n, width, h, w)."""
        h: Tensor = self.conv1(_upsample(F.relu(self.norm1(x))))  # (n, width, 2 h, 2 w)
        h = self.conv2(F.relu(self.norm2(h)))
        # A 1x1 convolution and nearest-neighbour upsampling commute; this order costs a quarter.
        return h + _upsample(self.skip(x))


class InputBlock(nn.Module):
    """First block of the discriminator: 3x3, ReLU, 3x3, pool; the skip is pool, 1x1 (SN-GAN's "optimized" block).

    (n, channels, h, w) to (n, width, h / 2, w / 2). No ReLU comes first: it would cut the negative half off the images.

    Args:
        channels: Channels of the images.
        width: Channels of the output.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1)
        self.skip = nn.Conv2d(channels, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h / 2, w / 2) for (n, channels, h, w)."""
        h: Tensor = self.conv1(x)  # (n, width, h, w)
        h = F.avg_pool2d(self.conv2(F.relu(h)), 2)  # (n, width, h / 2, w / 2)
        return h + self.skip(F.avg_pool2d(x, 2))


class DownBlock(nn.Module):
    """Pre-activation block: norm, ReLU, 3x3, norm, ReLU, 3x3; with `down` a mean pool, and 1x1 and pool as the skip.

    (n, width, h, w) to (n, width, h / 2, w / 2), or without `down` to the same shape over an identity skip.

    Args:
        width: Channels.
        norm: See `normalization`.
        down: Whether to halve the side.
    """

    def __init__(self, width: int, norm: str, down: bool) -> None:
        super().__init__()
        self.down = down
        self.norm1 = normalization(norm, width, 2)
        self.conv1 = nn.Conv2d(width, width, 3, 1, 1)
        self.norm2 = normalization(norm, width, 2)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1)
        self.skip = nn.Conv2d(width, width, 1) if down else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h / 2, w / 2) for (n, width, h, w) with `down`, else (n, width, h, w)."""
        h: Tensor = self.conv1(F.relu(self.norm1(x)))
        h = self.conv2(F.relu(self.norm2(h)))
        if self.down:
            # A 1x1 convolution and a mean pool commute; this order costs a quarter.
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)  # (n, width, h / 2, w / 2)
        return h + self.skip(x)


def _upsample(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")  # (n, c, 2 h, 2 w)


def _initialize(network: nn.Module, ends: list[nn.Module], scheme: str, scale: float, skip_gain: float) -> None:
    """Initial weights: `scale` for the 3x3 convolutions of the blocks, `skip_gain * scale` for skips and `ends`."""
    initialize(network, scheme, scale)
    skips = [block.skip for block in network.modules() if isinstance(block, UpBlock | InputBlock | DownBlock)]
    for layer in [*ends, *skips]:
        initialize(layer, scheme, skip_gain * scale)
