"""R3GAN: residual networks without norms, of grouped convolutions in inverted bottlenecks (Huang et al., 2024)."""

from itertools import pairwise
from math import gcd, sqrt
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator, Layer
from gan_lab.architectures.sizes import require_power_of_two
from gan_lab.layers.fir import fir_downsample, fir_upsample
from gan_lab.layers.initialization import SCHEMES, fans, initialize
from gan_lab.layers.labeled import TakesMixtures, rows_of_labels
from gan_lab.layers.learned_constant import LearnedConstant
from gan_lab.layers.memory import use_channels_last
from gan_lab.layers.normalization import normalization
from gan_lab.ranges import require_at_least

LABEL_DIM = 64
"""Size of the generator's embedding of a label."""
SLOPE = 0.2
"""Slope of the leaky ReLU for negative inputs."""


class R3GANGenerator(TakesMixtures, nn.Module):
    """R3GAN's generator (Huang et al., 2024, section 3 and code).

    A linear layer of the latent scales learned maps of 4x4 pixels. At each resolution follow residual blocks; between
    resolutions a 1x1 convolution, if the number of channels changes, and upsampling with the filter [1, 3, 3, 1]. A 1x1
    convolution makes the image. The only biases are two in each block.

    Nothing limits the images in training; in evaluation mode they are clipped to [-1, 1].

    Maps of resolution s have channel_base / s channels, rounded down, but at most `width`.

    Args:
        latent_dim: Size of a latent; 64 in the paper.
        channels: Channels of the images.
        resolution: Resolution of the images: a power of two from 8 to 1024.
        width: Maximum number of channels of a map; 768 or, on ImageNet, 1536 in the paper.
        norm: Norm after the first two convolutions of a block: `none` as in the paper, `batch` or `layer`.
        init: `fixup`, see `Block`; or a scheme of `initialize`.
        init_scale: Factor on the weights of fixup; or the scheme's scale.
        channel_base: Channels of a map of resolution 1, without the limit `width`.
        group_width: Channels of a group of the 3x3 convolutions; 16 or, on ImageNet, 32 in the paper.
        blocks: Residual blocks at each resolution.
        num_classes: Number of labels, whose embedding is concatenated to the latent; None without labels.
            conditioning=mapping sets it.

    Raises:
        ValueError: The resolution or an option is not allowed, or a map has no channels.
    """

    averaged: ClassVar[str] = "embeddings"

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        resolution: int | None,
        width: int = 64,
        norm: str = "none",
        init: str = "fixup",
        init_scale: float = 1.0,
        channel_base: int = 24576,
        group_width: int = 16,
        blocks: int = 2,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        widths = _widths(resolution, channel_base, width)
        label_dim = 0 if num_classes is None else LABEL_DIM
        self.embedding = None if num_classes is None else _embedding(num_classes, label_dim, sqrt(num_classes))
        self.linear = nn.Linear(latent_dim + label_dim, widths[0], bias=False)
        self.constant = LearnedConstant(widths[0])
        self.transitions = nn.ModuleList(_transition(i, o) for i, o in pairwise(widths))
        self.stages = nn.ModuleList(_stage(width, group_width, blocks, norm) for width in widths)
        # Names belong to a resolution, so networks for larger and smaller images have the same weights under a name.
        self.to_image = nn.ModuleDict({str(resolution): nn.Conv2d(widths[-1], channels, 1, bias=False)})
        _initialize(self, init, init_scale)
        use_channels_last(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, channels, resolution, resolution) for latents (n, latent_dim) and labels, int64 (n,), or None."""
        if self.embedding is not None:
            latents = torch.cat((latents, rows_of_labels(self.embedding, _required(labels)).to(latents.dtype)), 1)
        x: Tensor = self.constant(latents.shape[0]) * self.linear(latents)[:, :, None, None]  # (n, c, 4, 4)
        x = self.stages[0](x)
        for transition, stage in zip(self.transitions, self.stages[1:], strict=True):
            x = stage(fir_upsample(transition(x)))  # (n, c', 2 h, 2 w)
        (to_image,) = self.to_image.values()
        images: Tensor = to_image(x)
        return images if self.training else images.clamp(-1, 1)


class R3GANDiscriminator(Discriminator):
    """R3GAN's discriminator (Huang et al., 2024, section 3 and code), the generator in reverse.

    A 1x1 convolution reads the image. At each resolution are residual blocks, followed by downsampling with the filter
    [1, 3, 3, 1] and a 1x1 convolution, if the number of channels changes. The end is a depthwise 4x4 convolution and a
    linear layer without bias.

    With labels, the logit is the inner product of the linear layer's output and an embedding of the label; there is no
    term without the label.

    Args:
        channels: Channels of the images.
        resolution: Resolution of the images: a power of two from 8 to 1024.
        width: Maximum number of channels of a map.
        norm: See `R3GANGenerator`. `batch` cannot be combined with a gradient penalty.
        init: See `R3GANGenerator`.
        init_scale: See `R3GANGenerator`.
        channel_base: See `R3GANGenerator`.
        group_width: See `R3GANGenerator`.
        blocks: Residual blocks at each resolution.
        num_classes: Number of labels; None for an unconditional network. conditioning=mapping sets it.

    Raises:
        ValueError: The resolution or an option is not allowed, or a map has no channels.
    """

    def __init__(
        self,
        channels: int,
        resolution: int | None,
        width: int = 64,
        norm: str = "none",
        init: str = "fixup",
        init_scale: float = 1.0,
        channel_base: int = 24576,
        group_width: int = 16,
        blocks: int = 2,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        widths = _widths(resolution, channel_base, width)
        last = widths[0]
        self.from_image = nn.ModuleDict({str(resolution): nn.Conv2d(channels, widths[-1], 1, bias=False)})
        self.stages = nn.ModuleList(_stage(width, group_width, blocks, norm) for width in widths)
        self.transitions = nn.ModuleList(_transition(i, o) for o, i in pairwise(widths))
        self.conv = nn.Conv2d(last, last, 4, groups=last, bias=False)
        self.output = nn.Linear(last, 1 if num_classes is None else last, bias=False)
        self.embedding = None if num_classes is None else _embedding(num_classes, last, sqrt(num_classes * last))
        _initialize(self, init, init_scale)
        use_channels_last(self)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, d) of images (n, channels, resolution, resolution); real ones in [-1, 1]."""
        (from_image,) = self.from_image.values()
        x = from_image(x)  # (n, c, resolution, resolution)
        for stage, transition in zip(reversed(self.stages[1:]), reversed(self.transitions), strict=True):
            x = transition(fir_downsample(stage(x)))  # (n, c', h / 2, w / 2)
        x = self.conv(self.stages[0](x))  # (n, d, 1, 1)
        return x.flatten(1)

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Logits (n,) of features (n, d), with labels, int64 (n,), if the network has classes."""
        if self.embedding is None:
            return super().head(features, labels)
        projected: Tensor = self.output(features) * self.embedding[_required(labels)]  # (n, d)
        return projected.sum(1)

    def layers_from_image(self) -> list[Layer]:
        """The layer that reads the image, then the three of each block and the transitions that have weights."""
        layers: list[Layer] = [tuple(self.from_image.values())]
        for stage, transition in zip(reversed(self.stages), [*reversed(self.transitions), None], strict=True):
            layers += [layer for block in cast(nn.Sequential, stage) for layer in cast(Block, block).layers()]
            layers += [(transition,)] if isinstance(transition, nn.Conv2d) else []
        return layers


class Block(nn.Module):
    """Residual block of an inverted bottleneck: x + C3(a(C2(a(C1 x)))) with leaky ReLU a.

    C1 is a 1x1 convolution that doubles the channels, C2 a grouped 3x3 convolution, C3 a 1x1 convolution to `width`
    channels without bias. Nothing follows the sum.

    The initialization `fixup` is that of Zhang et al. (2019), in the variant of the paper's code: weights have the
    standard deviation gain / sqrt(fan-in), with gain sqrt(2 / (1 + slope^2)) L^(-1/4) in C1 and C2, where L is the
    number of blocks of the network, 0 in C3, and 1 in all other layers. So at the start each block is the identity.

    Args:
        width: Channels of input and output.
        group_width: Channels of a group, or the largest number below that divides both it and the channels.
        norm: Norm after C1 and C2.
    """

    def __init__(self, width: int, group_width: int, norm: str) -> None:
        super().__init__()
        hidden = 2 * width
        self.expand = nn.Conv2d(width, hidden, 1)
        self.norm1 = normalization(norm, hidden, 2)
        self.conv = nn.Conv2d(hidden, hidden, 3, 1, 1, groups=hidden // gcd(hidden, group_width))
        self.norm2 = normalization(norm, hidden, 2)
        self.reduce = nn.Conv2d(hidden, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) for (n, width, h, w)."""
        y = F.leaky_relu(self.norm1(self.expand(x)), SLOPE)
        y = F.leaky_relu(self.norm2(self.conv(y)), SLOPE)
        return x + self.reduce(y)

    def layers(self) -> list[Layer]:
        """The convolutions with their norms."""
        return [(self.expand, self.norm1), (self.conv, self.norm2), (self.reduce,)]


def _widths(resolution: int | None, base: int, largest: int) -> list[int]:
    """Channels of the maps of 4, 8, ... pixels, to the resolution.

    Raises:
        ValueError: A map has none, or the resolution is not allowed.
    """
    sizes = [2**k for k in range(2, require_power_of_two("r3gan", resolution, 8, 1024).bit_length())]
    widths = [min(base // size, largest) for size in sizes]
    if widths[-1] < 1:
        raise ValueError(f"channel_base={base} and width={largest} leave maps of {sizes[-1]} pixels without channels")
    return widths


def _stage(width: int, group_width: int, blocks: int, norm: str) -> nn.Sequential:
    require_at_least("group_width", group_width, 1)
    require_at_least("blocks", blocks, 1)
    return nn.Sequential(*(Block(width, group_width, norm) for _ in range(blocks)))


def _transition(inputs: int, outputs: int) -> nn.Module:
    return nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)


def _embedding(num_classes: int, dim: int, divisor: float) -> nn.Parameter:
    require_at_least("num_classes", num_classes, 1)
    # Not an nn.Embedding, which spectral normalization and orthogonal regularization would treat as a layer.
    return nn.Parameter(torch.randn(num_classes, dim) / divisor)


def _required(labels: Tensor | None) -> Tensor:
    if labels is None:
        raise ValueError("this network is conditioned on labels: call it with labels, int64 (n,)")
    return labels


def _initialize(network: nn.Module, init: str, scale: float) -> None:
    """Initialize with `fixup`, see `Block`, or a scheme of `initialize`."""
    if init not in ("fixup", *SCHEMES):
        raise ValueError(f"init must be one of fixup, {', '.join(SCHEMES)}, not {init!r}")
    if init != "fixup":
        initialize(network, init, scale)
        return
    blocks = [part for part in network.modules() if isinstance(part, Block)]
    gain = sqrt(2 / (1 + SLOPE**2)) * len(blocks) ** -0.25
    gains: dict[nn.Module, float] = {layer: gain for block in blocks for layer in (block.expand, block.conv)}
    gains |= {block.reduce: 0.0 for block in blocks}
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.normal_(layer.weight, 0.0, scale * gains.get(layer, 1.0) / sqrt(fans(layer)[0]))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
