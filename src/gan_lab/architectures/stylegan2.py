"""StyleGAN2: a mapping network, modulated convolutions and skip connections to the image (Karras et al., 2020)."""

from itertools import pairwise
from math import sqrt
from typing import cast

import torch
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator, Layer
from gan_lab.architectures.pggan import equalize_or_initialize
from gan_lab.architectures.sizes import require_power_of_two
from gan_lab.layers.fir import fir_downsample, fir_filter, fir_upsample
from gan_lab.layers.float16 import clamp_in_float16
from gan_lab.layers.learned_constant import LearnedConstant
from gan_lab.layers.memory import use_channels_last
from gan_lab.layers.minibatch_stddev import MinibatchStddev
from gan_lab.layers.modulated_conv import ModulatedConv2d
from gan_lab.layers.noise_injection import NoiseInjection
from gan_lab.layers.normalization import normalization, require_norm
from gan_lab.layers.style_mapping import MappingNetwork, StyleMapping, scaled_leaky_relu
from gan_lab.ranges import require_at_least, require_positive

MAPPING_LR = 0.01
"""Learning rate of the mapping networks' layers relative to that of the others."""


class StyleGAN2Generator(nn.Module):
    """StyleGAN2's generator (Karras et al., 2020, Figures 2 and 7b).

    A mapping network makes styles of latents. A learned constant of 4x4 pixels passes a modulated 3x3 convolution; then
    two for each doubling of the resolution, the first with upsampling, each followed by noise, bias and leaky ReLU. At
    each resolution a modulated 1x1 convolution makes an image, which is added to the upsampled image of the resolution
    before. A layer to the image has the style of the first convolution of the next resolution.

    Nothing limits the images in training. In evaluation mode they are clipped to [-1, 1], and noise and styles are
    functions of the latents: fixed maps, no mixing.

    The map of resolution s has channel_base / s channels, rounded down, but at most `width`.

    Args:
        latent_dim: Size of a latent; 512 in the paper.
        channels: Channels of the images.
        resolution: Resolution of the images: a power of two from 8 to 1024.
        width: Maximum number of channels of a map.
        norm: `demodulation` as in the paper, or `none`, without the division by the norm of the weights.
        init: `equalized`, see `equalize`; or a scheme of `initialize`, for plain layers.
        init_scale: Gain of the equalized layers, besides sqrt(2) after each leaky ReLU; or the scheme's scale.
        channel_base: Channels of a map of resolution 1, without the limit `width`.
        style_dim: Size of a style; None for that of a latent, without its `label_dim`.
        mapping_layers: Layers of the mapping network.
        mixing: Probability that the styles of a batch are mixed in training.
        noise: Noise in training, see `NoiseInjection`.
        label_dim: Coordinates of the latent that describe its label; a conditioning may set it.
        num_classes: Number of labels that the mapping network takes; None without. conditioning=mapping sets it.
        clamp: Largest absolute value of maps and images of a layer in any precision, 256 in the authors' code; None for
            no limit in float32 and bfloat16, see `clamp_in_float16`.

    Raises:
        ValueError: The resolution or an option is not allowed, or a map has no channels.
    """

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        resolution: int | None,
        width: int = 512,
        norm: str = "demodulation",
        init: str = "equalized",
        init_scale: float = 1.0,
        channel_base: int = 32768,
        style_dim: int | None = None,
        mapping_layers: int = 8,
        mixing: float = 0.9,
        noise: str = "random",
        label_dim: int = 0,
        num_classes: int | None = None,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        resolutions = _resolutions(resolution)
        _require_clamp("generator", clamp)
        if norm not in ("demodulation", "none"):
            raise ValueError(
                f"architecture=stylegan2 has no architecture.generator.norm={norm}; choose demodulation or none"
            )
        dim = latent_dim - label_dim if style_dim is None else style_dim
        layers = 2 * len(resolutions)
        self.styles = StyleMapping(latent_dim, dim, mapping_layers, layers, label_dim, num_classes, mixing)
        widths = [_channels(size, channel_base, width) for size in resolutions]
        self.constant = LearnedConstant(widths[0])
        self.blocks = nn.ModuleList(
            SynthesisBlock(dim, i, o, channels, size, norm == "demodulation", noise, clamp)
            for (i, o), size in zip(pairwise([widths[0], *widths]), resolutions, strict=True)
        )
        multipliers = dict.fromkeys(self.styles.network.layers, MAPPING_LR)
        equalize_or_initialize(self, {}, init, init_scale, multipliers)
        for part in self.modules():
            if isinstance(part, ModulatedConv2d):
                nn.init.ones_(part.affine.bias)
        use_channels_last(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, channels, resolution, resolution) for latents (n, latent_dim) and labels, int64 (n,), or None."""
        images = self.synthesis(self.styles(latents, labels))
        return images if self.training else images.clamp(-1, 1)

    def synthesis(self, styles: Tensor) -> Tensor:
        """Images (n, channels, resolution, resolution) for styles (n, layers, style_dim)."""
        x: Tensor = self.constant(styles.shape[0])  # (n, c, 4, 4)
        images = None
        layer = 0
        for block in self.blocks:
            x, images = block(x, images, styles[:, layer:])  # (n, c', s, s), (n, channels, s, s)
            layer += len(cast(SynthesisBlock, block).convs)
        assert images is not None
        return images


class SynthesisBlock(nn.Module):
    """The layers of one resolution: styled convolutions and the image, added to the upsampled previous image.

    Args:
        style_dim: Size of a style.
        inputs: Channels of the input.
        outputs: Channels of the output.
        channels: Channels of the image.
        resolution: Resolution of the output; at 4 one convolution without upsampling, else two.
        demodulate: See `ModulatedConv2d`.
        noise: See `NoiseInjection`.
        clamp: See `StyleGAN2Generator`.
    """

    def __init__(
        self,
        style_dim: int,
        inputs: int,
        outputs: int,
        channels: int,
        resolution: int,
        demodulate: bool,
        noise: str,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.clamp = clamp
        self.convs = nn.ModuleList()
        if resolution > 4:
            self.convs.append(StyledConv(style_dim, inputs, outputs, resolution, demodulate, noise, clamp, up=True))
        self.convs.append(StyledConv(style_dim, outputs, outputs, resolution, demodulate, noise, clamp))
        self.to_image = ModulatedConv2d(style_dim, outputs, channels, kernel=1, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, images: Tensor | None, styles: Tensor) -> tuple[Tensor, Tensor]:
        """Maps and images of this resolution.

        Args:
            x: Maps of the resolution before, or the constant: (n, inputs, h, w).
            images: Images of the resolution before, (n, channels, h, w), or None.
            styles: (n, layers, style_dim), from the first layer of this block on.
        """
        for number, conv in enumerate(self.convs):
            x = conv(x, styles[:, number])
        added = clamp_in_float16(self.to_image(x, styles[:, len(self.convs)]) + self.bias[:, None, None])
        added = _clamped(added, self.clamp)
        return x, added if images is None else fir_upsample(images) + added


class StyledConv(nn.Module):
    """A modulated 3x3 convolution, noise, bias and leaky ReLU times sqrt(2).

    Args:
        style_dim: Size of a style.
        inputs: Channels of the input.
        outputs: Channels of the output.
        resolution: Resolution of the output.
        demodulate: See `ModulatedConv2d`.
        noise: See `NoiseInjection`.
        clamp: See `StyleGAN2Generator`.
        up: Double the resolution.
    """

    def __init__(
        self,
        style_dim: int,
        inputs: int,
        outputs: int,
        resolution: int,
        demodulate: bool,
        noise: str,
        clamp: float | None = None,
        up: bool = False,
    ) -> None:
        super().__init__()
        self.clamp = clamp
        self.conv = ModulatedConv2d(style_dim, inputs, outputs, 3, demodulate, up)
        self.noise = NoiseInjection(resolution, noise)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Maps (n, outputs, resolution, resolution) for maps (n, inputs, h, w) and styles (n, style_dim)."""
        return _clamped(scaled_leaky_relu(self.noise(self.conv(x, style)) + self.bias[:, None, None]), self.clamp)


class StyleGAN2Discriminator(Discriminator):
    """StyleGAN2's discriminator (Karras et al., 2020, Figure 7c).

    A 1x1 convolution reads the image; then, for each halving of the resolution, two 3x3 convolutions, the second after
    the filter [1, 3, 3, 1] and with stride 2. In residual blocks a filtered, strided 1x1 convolution is added, and the
    sum divided by sqrt(2). At 4x4 pixels follow the minibatch standard deviation, a 3x3 convolution and a linear layer.
    Leaky ReLU times sqrt(2) follows each layer, and the norm each 3x3 convolution. A group of the standard deviation is
    every (n / group)-th sample of a batch of n, as in the authors' code.

    With labels, a mapping network makes a vector of the label, and the logit is the inner product of this vector and a
    linear layer of the features, divided by the root of their size (Karras et al., 2020b, code).

    Args:
        channels: Channels of the images.
        resolution: Resolution of the images: a power of two from 8 to 1024.
        width: Maximum number of channels of a map.
        norm: `none`, as in the paper, `batch` or `layer`, see `normalization`. `batch` cannot be combined with a
            gradient penalty.
        init: `equalized`, see `equalize`; or a scheme of `initialize`, for plain layers.
        init_scale: Gain of the equalized layers, besides sqrt(2) after each leaky ReLU; or the scheme's scale.
        channel_base: Channels of a map of resolution 1, without the limit `width`.
        blocks: `resnet`, or `orig` for blocks without a skip connection, as in the authors' configuration for CIFAR-10.
        minibatch_group: Samples in a group of the minibatch standard deviation; None for the complete batch. With 1 it
            is always 0.
        mapping_layers: Layers of the label's mapping network.
        num_classes: Number of labels; None for an unconditional network. conditioning=mapping sets it.
        clamp: Largest absolute value of the maps of a convolution, as in the generator; None for no limit.

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
        init_scale: float = 1.0,
        channel_base: int = 32768,
        blocks: str = "resnet",
        minibatch_group: int | None = 4,
        mapping_layers: int = 8,
        num_classes: int | None = None,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        resolutions = _resolutions(resolution)
        require_norm(norm)
        _require_clamp("discriminator", clamp)
        if blocks not in ("resnet", "orig"):
            raise ValueError(f"architecture.discriminator.blocks={blocks} is not known; choose resnet or orig")
        if minibatch_group is not None:
            require_at_least("architecture.discriminator.minibatch_group", minibatch_group, 1)
        require_at_least("architecture.discriminator.mapping_layers", mapping_layers, 1)
        widths = [_channels(size, channel_base, width) for size in resolutions]
        last = widths[0]
        # Names belong to a resolution, so networks for larger and smaller images have the same weights under a name.
        self.from_image = nn.ModuleDict({str(resolutions[-1]): nn.Conv2d(channels, widths[-1], 1)})
        self.blocks = nn.ModuleList(DownBlock(i, o, norm, blocks == "resnet", clamp) for o, i in pairwise(widths))
        self.clamp = clamp
        self.stddev = MinibatchStddev(minibatch_group, interleaved=True)
        self.conv = nn.Conv2d(last + 1, last, 3, 1, 1)
        self.norm = normalization(norm, last, 2)
        self.linear = nn.Linear(last * 4 * 4, last)
        self.output = nn.Linear(last, 1 if num_classes is None else last)
        self.label_mapping = None if num_classes is None else MappingNetwork(0, last, mapping_layers, 0, num_classes)
        multipliers = dict.fromkeys(self.label_mapping.layers, MAPPING_LR) if self.label_mapping else {}
        equalize_or_initialize(self, {}, init, init_scale, multipliers)
        use_channels_last(self)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, d) of images (n, channels, resolution, resolution); real ones in [-1, 1]."""
        (from_image,) = self.from_image.values()
        x = _clamped(scaled_leaky_relu(from_image(x)), self.clamp)  # (n, c, resolution, resolution)
        for block in reversed(self.blocks):
            x = block(x)  # (n, c', h / 2, w / 2)
        x = self.norm(_clamped(scaled_leaky_relu(self.conv(self.stddev(x))), self.clamp))  # (n, d, 4, 4)
        return scaled_leaky_relu(self.linear(x.flatten(1)))

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (n,) of features (n, d), with labels, int64 (n,), if the network has classes."""
        if self.label_mapping is None:
            return super().head(features, labels)
        projected: Tensor = self.output(features) * self.label_mapping(None, labels)  # (n, d)
        return projected.sum(1) / sqrt(projected.shape[1])

    def layers_from_image(self) -> list[Layer]:
        """The layer that reads the image, then those of the blocks: 3 in a residual block, 2 in others."""
        blocks = (cast(DownBlock, block) for block in reversed(self.blocks))
        return [tuple(self.from_image.values()), *(layer for block in blocks for layer in block.layers())]


class DownBlock(nn.Module):
    """Discriminator block that halves the resolution: (n, inputs, 2 s, 2 s) to (n, outputs, s, s).

    Args:
        inputs: Channels of the input and between the convolutions.
        outputs: Channels of the output.
        norm: See `StyleGAN2Discriminator`.
        residual: Add a 1x1 convolution of the input, and divide by sqrt(2).
        clamp: See `StyleGAN2Discriminator`.
    """

    def __init__(self, inputs: int, outputs: int, norm: str, residual: bool, clamp: float | None = None) -> None:
        super().__init__()
        self.clamp = clamp
        self.conv1 = nn.Conv2d(inputs, inputs, 3, 1, 1)
        self.norm1 = normalization(norm, inputs, 2)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, 2)
        self.norm2 = normalization(norm, outputs, 2)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs, s, s) for (n, inputs, 2 s, 2 s)."""
        y: Tensor = self.norm1(_clamped(scaled_leaky_relu(self.conv1(x)), self.clamp))
        y = self.norm2(_clamped(scaled_leaky_relu(self.conv2(fir_filter(y, padding=2))), self.clamp))
        return y if self.skip is None else (y + _clamped(self.skip(fir_downsample(x)), self.clamp)) / sqrt(2)

    def layers(self) -> list[Layer]:
        """The convolutions with their norms, the skip connection last."""
        convs: list[Layer] = [(self.conv1, self.norm1), (self.conv2, self.norm2)]
        return convs if self.skip is None else [*convs, (self.skip,)]


def _clamped(x: Tensor, largest: float | None) -> Tensor:
    """x, limited to [-largest, largest] unless that is None."""
    return x if largest is None else x.clamp(-largest, largest)


def _require_clamp(network: str, clamp: float | None) -> None:
    """Check the largest absolute value of maps."""
    if clamp is not None:
        require_positive(f"architecture.{network}.clamp", clamp, "no limit")


def _resolutions(resolution: int | None) -> list[int]:
    """4, 8, ... to the resolution."""
    largest = require_power_of_two("stylegan2", resolution, 8, 1024)
    return [2**k for k in range(2, largest.bit_length())]


def _channels(resolution: int, base: int, largest: int) -> int:
    """Number of channels of a map.

    Raises:
        ValueError: It is 0.
    """
    count = min(base // resolution, largest)
    if count < 1:
        raise ValueError(f"channel_base={base} leaves maps of {resolution} pixels without channels")
    return count
