"""Progressive GAN: networks that start at 4x4 pixels and double their resolution in training (Karras et al., 2018).

`grow` sets the current `Stage`; without growing they are ordinary networks of the full resolution.
"""

from collections.abc import Mapping
from itertools import pairwise
from math import log2
from types import MappingProxyType
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator, Layer
from gan_lab.architectures.sizes import require_power_of_two
from gan_lab.layers.equalized import equalize
from gan_lab.layers.growing import Growing, downsample_2x, enlarge, fade, upsample_2x
from gan_lab.layers.initialization import SCHEMES, initialize
from gan_lab.layers.memory import use_channels_last
from gan_lab.layers.minibatch_stddev import MinibatchStddev
from gan_lab.layers.normalization import NORMS, normalization, require_norm
from gan_lab.layers.pixel_norm import PixelNorm

SLOPE = 0.2


class ProGANGenerator(Growing):
    """ProGAN's generator (Karras et al., 2018, Table 2).

    A transposed 4x4 convolution of the latent to 4x4 pixels and a 3x3 convolution; then, for each doubling, nearest
    upsampling and two 3x3 convolutions. Leaky ReLU of slope 0.2 and the norm follow each convolution. At each
    resolution a 1x1 convolution without an activation makes images of the maps, so images may leave [-1, 1] in
    training.

    While a resolution fades in, its image is blended with the upsampled image of the previous resolution. In training
    mode images have the resolution of the stage. In evaluation mode they are enlarged to the full resolution by
    repeating pixels, and clipped to [-1, 1].

    The map of resolution s has fmap_base / (s / 2)^fmap_decay channels, rounded down, but at most `width`.

    Args:
        latent_dim: Size of a latent; 512 in the paper.
        channels: Channels of the images.
        resolution: Full resolution of the images: a power of two from 8 to 1024.
        width: Maximum number of channels of a map, fmap_max in the authors' code.
        norm: `pixel`, of latents as well, as in the paper; or `none`, `batch` or `layer`, see `normalization`.
        init: `equalized`, see `equalize`; or a scheme of `initialize`, for plain layers.
        init_scale: Gain of the equalized layers, except the 1x1 convolutions to images, whose gain is 1; or the
            scheme's scale.
        fmap_base: Channels of a map of resolution 2, without the limit `width`.
        fmap_decay: log2 of the ratio of channels from one resolution to its double.
        pixel_bias: A bias for each of the 4x4 pixels of the first layer's maps, as in pytorch_GAN_zoo; otherwise one
            for each map, as in the authors' code.

    Raises:
        ValueError: The resolution or an option is not allowed, or a map has no channels.
    """

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        resolution: int | None,
        width: int = 512,
        norm: str = "pixel",
        init: str = "equalized",
        init_scale: float = 2**0.5,
        fmap_base: int = 8192,
        fmap_decay: float = 1.0,
        pixel_bias: bool = False,
    ) -> None:
        super().__init__(require_power_of_two("pggan", resolution, 8, 1024))
        if norm not in ("pixel", *NORMS):
            raise ValueError(f"norm must be one of pixel, {', '.join(NORMS)}, not {norm!r}")
        widths = [fmaps(resolution, fmap_base, fmap_decay, width) for resolution in self.resolutions]
        self.latent_norm = PixelNorm() if norm == "pixel" else nn.Identity()
        self.blocks = nn.ModuleList(
            [
                StartBlock(latent_dim, widths[0], norm, pixel_bias=pixel_bias),
                *(UpBlock(i, o, norm) for i, o in pairwise(widths)),
            ]
        )
        self.to_image = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in widths)
        equalize_or_initialize(self, dict.fromkeys(self.to_image, 1.0), init, init_scale)
        use_channels_last(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, channels, s, s) for latents (n, latent_dim); in training s is that of the stage."""
        images = self._stage_images(latents)
        return images if self.training else enlarge(images, self.resolutions[-1]).clamp(-1, 1)

    def _stage_images(self, latents: Tensor) -> Tensor:
        level, alpha = self.level, self.stage.alpha
        x: Tensor = self.latent_norm(latents)[:, :, None, None]  # (n, latent_dim, 1, 1)
        for block in self.blocks[: level + 1]:
            before, x = x, block(x)  # (n, c, s / 2, s / 2) and (n, c', s, s)
        images: Tensor = self.to_image[level](x)  # (n, channels, s, s)
        return images if alpha == 1 else fade(upsample_2x(self.to_image[level - 1](before)), images, alpha)


class ProGANDiscriminator(Growing, Discriminator):
    """ProGAN's discriminator (Karras et al., 2018, Table 2), which mirrors the generator.

    A 1x1 convolution for each resolution reads images; then, for each halving, two 3x3 convolutions and average
    pooling. At 4x4 pixels follow the minibatch standard deviation, a 3x3 convolution and a linear layer. Leaky ReLU of
    slope 0.2 follows each layer, and the norm each 3x3 convolution. It takes images of the resolution of its stage:
    while this resolution fades in, the map of its first block is blended with the map of the downsampled image.

    The paper pools after the activation. The TensorFlow code has fused the pooling with the convolution before it by
    default, and so pools before bias and activation; its generator is the same function fused and not.

    Args:
        channels: Channels of the images.
        resolution: Full resolution of the images: a power of two from 8 to 1024.
        width: Maximum number of channels of a map, fmap_max in the authors' code.
        norm: `none`, as in the paper, `batch` or `layer`, see `normalization`. `batch` cannot be combined with a
            gradient penalty.
        init: `equalized`, see `equalize`; or a scheme of `initialize`, for plain layers.
        init_scale: Gain of the equalized layers, except the last, whose gain is 1; or the scheme's scale.
        fmap_base: Channels of a map of resolution 2, without the limit `width`.
        fmap_decay: log2 of the ratio of channels from one resolution to its double.
        minibatch_group: Samples in a group of the minibatch standard deviation: 4 in the TensorFlow code, None for all
            samples of the batch, as in the paper. With 1 it is always 0.
        fused_scale: Pool before bias, activation and norm, as the TensorFlow code does by default.

    Raises:
        ValueError: The resolution or an option is not allowed, a map has no channels, or the group is empty.
    """

    def __init__(
        self,
        channels: int,
        resolution: int | None,
        width: int = 512,
        norm: str = "none",
        init: str = "equalized",
        init_scale: float = 2**0.5,
        fmap_base: int = 8192,
        fmap_decay: float = 1.0,
        minibatch_group: int | None = 4,
        fused_scale: bool = False,
    ) -> None:
        super().__init__(require_power_of_two("pggan", resolution, 8, 1024))
        require_norm(norm)
        if minibatch_group is not None and minibatch_group < 1:
            raise ValueError(
                f"minibatch_group must be at least 1, or null for the complete batch, not {minibatch_group}"
            )
        widths = [fmaps(resolution, fmap_base, fmap_decay, width) for resolution in self.resolutions]
        last = fmaps(2, fmap_base, fmap_decay, width)
        self.from_image = nn.ModuleList(nn.Conv2d(channels, c, 1) for c in widths)
        self.blocks = nn.ModuleList(DownBlock(i, o, norm, fused_scale) for o, i in pairwise(widths))
        self.end = EndBlock(widths[0], last, norm, minibatch_group)
        self.output = nn.Linear(last, 1)
        equalize_or_initialize(self, {self.output: 1.0}, init, init_scale)
        use_channels_last(self)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, d) of images (n, channels, s, s) at the stage's resolution s; real ones in [-1, 1]."""
        h = self._read_image(x, self.level)  # (n, c, s, s)
        for level in range(self.level, 0, -1):
            h = self.blocks[level - 1](h)  # (n, c', s / 2, s / 2)
            if level == self.level and self.stage.alpha < 1:
                h = fade(self._read_image(downsample_2x(x), level - 1), h, self.stage.alpha)
        return self.end(h)  # (n, d)

    def layers_from_image(self) -> list[Layer]:
        """The layer that reads images of the full resolution, then two in each block."""
        blocks = (cast(DownBlock, block) for block in reversed(self.blocks))
        convs = [pair for b in blocks for pair in ((b.conv1, b.norm1), (b.conv2, b.norm2))]
        return [(self.from_image[-1],), *convs]

    def _read_image(self, x: Tensor, level: int) -> Tensor:
        return F.leaky_relu(self.from_image[level](x), SLOPE)


class StartBlock(nn.Module):
    """First block of the generator: latents (n, latent_dim, 1, 1) to maps (n, outputs, 4, 4).

    The transposed 4x4 convolution of one pixel is a linear layer with one bias per channel.

    Args:
        latent_dim: Size of a latent.
        outputs: Channels of the maps.
        norm: See `ProGANGenerator`.
        both_norms: Also a norm before the second convolution, as in ProGAN and not in MSG-GAN.
        pixel_bias: See `ProGANGenerator`.
    """

    def __init__(
        self, latent_dim: int, outputs: int, norm: str, both_norms: bool = True, pixel_bias: bool = False
    ) -> None:
        super().__init__()
        self.project = nn.ConvTranspose2d(latent_dim, outputs, 4, bias=not pixel_bias)
        self.bias = nn.Parameter(torch.zeros(outputs, 4, 4)) if pixel_bias else None
        self.norm1 = _norm(norm, outputs) if both_norms else nn.Identity()
        self.conv = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.norm2 = _norm(norm, outputs)

    def forward(self, latents: Tensor) -> Tensor:
        """(n, outputs, 4, 4) for (n, latent_dim, 1, 1)."""
        x: Tensor = self.project(latents)
        x = self.norm1(F.leaky_relu(x if self.bias is None else x + self.bias, SLOPE))
        return self.norm2(F.leaky_relu(self.conv(x), SLOPE))


class UpBlock(nn.Module):
    """Generator block that doubles the resolution: upsample, 3x3, 3x3; (n, inputs, s, s) to (n, outputs, 2 s, 2 s).

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output and between the convolutions.
        norm: See `ProGANGenerator`.
    """

    def __init__(self, inputs: int, outputs: int, norm: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.norm1 = _norm(norm, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.norm2 = _norm(norm, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs, 2 s, 2 s) for (n, inputs, s, s)."""
        x = self.norm1(F.leaky_relu(self.conv1(upsample_2x(x)), SLOPE))
        return self.norm2(F.leaky_relu(self.conv2(x), SLOPE))


class DownBlock(nn.Module):
    """Discriminator block that halves the resolution: 3x3, 3x3, average pooling.

    (n, inputs, 2 s, 2 s) to (n, outputs, s, s).

    Args:
        inputs: Channels of the input and between the convolutions.
        outputs: Channels of the output.
        norm: See `ProGANDiscriminator`.
        fused_scale: See `ProGANDiscriminator`.
    """

    def __init__(self, inputs: int, outputs: int, norm: str, fused_scale: bool = False) -> None:
        super().__init__()
        self.fused_scale = fused_scale
        self.conv1 = nn.Conv2d(inputs, inputs, 3, 1, 1)
        self.norm1 = _norm(norm, inputs)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.norm2 = _norm(norm, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs, s, s) for (n, inputs, 2 s, 2 s)."""
        x = self.norm1(F.leaky_relu(self.conv1(x), SLOPE))
        x = self.conv2(x)  # (n, outputs, 2 s, 2 s)
        if self.fused_scale:
            # Pooling does not change the bias, so the convolution can have it already.
            return self.norm2(F.leaky_relu(downsample_2x(x), SLOPE))
        return downsample_2x(self.norm2(F.leaky_relu(x, SLOPE)))


class EndBlock(nn.Module):
    """Last block of the discriminator: minibatch standard deviation, 3x3, linear; (n, inputs, 4, 4) to (n, outputs).

    Args:
        inputs: Channels of the input and of the convolution.
        outputs: Size of the last hidden layer.
        norm: See `ProGANDiscriminator`.
        group: See `MinibatchStddev`.
    """

    def __init__(self, inputs: int, outputs: int, norm: str, group: int | None) -> None:
        super().__init__()
        self.stddev = MinibatchStddev(group)
        self.conv = nn.Conv2d(inputs + 1, inputs, 3, 1, 1)
        self.norm = _norm(norm, inputs)
        self.linear = nn.Linear(inputs * 4 * 4, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs) for (n, inputs, 4, 4)."""
        x = self.norm(F.leaky_relu(self.conv(self.stddev(x)), SLOPE))
        return F.leaky_relu(self.linear(x.flatten(1)), SLOPE)


def fmaps(resolution: int, base: int, decay: float, largest: int) -> int:
    """Number of channels of a map: base / (resolution / 2)^decay, rounded down, at most `largest`.

    Raises:
        ValueError: It is 0.
    """
    count = min(int(base / 2 ** (decay * (log2(resolution) - 1))), largest)
    if count < 1:
        raise ValueError(f"fmap_base={base} and fmap_decay={decay} leave maps of {resolution} pixels without channels")
    return count


def _norm(name: str, channels: int) -> nn.Module:
    return PixelNorm() if name == "pixel" else normalization(name, channels, 2)


def equalize_or_initialize(
    network: nn.Module,
    gains: Mapping[nn.Module, float],
    init: str,
    scale: float,
    multipliers: Mapping[nn.Module, float] = MappingProxyType({}),
) -> None:
    """Initialize the weights with gain or scale `scale`.

    Args:
        network: Its linear layers and convolutions are changed in place.
        gains: Gains of equalized layers that differ from `scale`.
        init: `equalized`, or a scheme of `initialize`.
        scale: Gain of equalized layers, or scale of the scheme.
        multipliers: Learning rate multipliers of equalized layers, 1 for those that are missing.

    Raises:
        ValueError: `init` is unknown.
    """
    if init not in ("equalized", *SCHEMES):
        raise ValueError(f"init must be one of equalized, {', '.join(SCHEMES)}, not {init!r}")
    if init != "equalized":
        initialize(network, init, scale)
        return
    for layer in list(network.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            equalize(layer, gains.get(layer, scale), multipliers.get(layer, 1.0))
