"""Residual networks of WGAN-GP (Gulrajani et al., 2017, App. F), SN-GAN (Miyato et al., 2018, Tables 4 to 6) and SAGAN.

The networks of WGAN-GP and SN-GAN for CIFAR have a constant width. Those of SN-GAN for larger images, and of SAGAN
(Zhang et al., 2019), which adds attention to them, double the channels with every halving of the resolution.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator, Layer
from gan_lab.layers.initialization import initialize
from gan_lab.layers.memory import use_channels_last
from gan_lab.layers.normalization import normalization
from gan_lab.layers.self_attention import FORMS, SelfAttention

RESOLUTIONS = sorted([2**k for k in range(4, 11)] + [3 * 2**k for k in range(3, 9)])
WIDTHS = ("constant", "doubling", "sngan")
HIDDEN = ("input", "output")
UPSAMPLINGS = ("nearest", "bilinear")

# ReLUs must not be in place: the skip of a block reads its input, before the first ReLU.


class ResNetGenerator(nn.Module):
    """Residual generator of WGAN-GP (App. F), SN-GAN (Tables 4 to 6) and SAGAN.

    A linear layer to 4x4, or to 6x6 if the resolution is three times a power of two, pre-activation blocks that double
    the resolution, then norm, ReLU, a 3x3 convolution and tanh. All layers have biases except the convolutions of the
    attention.

    | widths     | channels of a map of resolution s          | paper                                                  |
    |------------|--------------------------------------------|--------------------------------------------------------|
    | `constant` | width                                      | CIFAR: WGAN-GP with width 128, SN-GAN with 256         |
    | `doubling` | width min(resolution / s, 16)              | SN-GAN at 48, 64, 128 pixels and SAGAN, with width 64  |
    | `sngan`    | 4 width up to 32 pixels, else as doubling  | all of SN-GAN, with width 64                           |

    Args:
        latent_dim: Size of a latent.
        channels: Channels of the images.
        resolution: Resolution of the images: a power of two from 16 to 1024 or three times one from 24 to 768.
        width: Factor on the number of channels, see `widths`.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`. The code of WGAN-GP and SN-GAN uses `glorot` with
            scale sqrt(2) for the blocks' 3x3 convolutions and 1 for all other layers; that of SAGAN 1 for all.
        init_scale: Scale for the blocks' 3x3 convolutions.
        skip_gain: The scale of all other layers (1x1 skips, attention, first, last) is `skip_gain` times `init_scale`:
            1 / sqrt(2) in WGAN-GP and SN-GAN, 1 in SAGAN.
        widths: `constant`, `doubling` or `sngan`, see the table.
        attention_divisor: Attention on the map of resolution / attention_divisor pixels: 4 in SAGAN, that is 32x32 of
            128 pixels. None for no attention.
        attention_form: `code` or `paper`, see `SelfAttention`.
        upsampling: `nearest`, or `bilinear` as in the library mimicry.

    Raises:
        ValueError: The resolution or an option is not allowed, or no block has a map of the attention's size.
    """

    first_layers: ClassVar[tuple[str, ...]] = ("project",)
    last_layers: ClassVar[tuple[str, ...]] = ("output",)

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
        widths: str = "constant",
        attention_divisor: int | None = None,
        attention_form: str = "code",
        upsampling: str = "nearest",
    ) -> None:
        super().__init__()
        _require_choice("upsampling", upsampling, UPSAMPLINGS)
        maps = _generator_maps(_require_resolution(resolution), width, widths)
        (first, self.start), (last, resolution) = maps[0], maps[-1]
        self.project = nn.Linear(latent_dim, self.start**2 * first)
        self.blocks = nn.ModuleList(UpBlock(i, norm, o, upsampling) for (i, _), (o, _) in pairwise(maps))
        self.attentions = _attentions(maps[1:], resolution, attention_divisor, attention_form)
        self.output_norm = normalization(norm, last, 2)
        self.output = nn.Conv2d(last, channels, 3, 1, 1)
        _initialize(self, [self.project, self.output], init, init_scale, skip_gain)
        use_channels_last(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, channels, resolution, resolution) in [-1, 1] for latents (n, latent_dim)."""
        x: Tensor = self.project(latents)  # (n, start^2 c)
        # With the channels last in memory, the convolutions get channels_last without a copy.
        x = x.unflatten(1, (self.start, self.start, -1)).permute(0, 3, 1, 2)  # (n, c, start, start)
        for block, attention in zip(self.blocks, self.attentions, strict=True):
            x = attention(block(x))  # (n, c', 2 h, 2 w)
        return torch.tanh(self.output(F.relu(self.output_norm(x))))  # (n, channels, resolution, resolution)


class ResNetDiscriminator(Discriminator):
    """Residual discriminator of WGAN-GP (App. F), SN-GAN (Tables 4 to 6) and SAGAN.

    Blocks that halve the resolution, one or two that keep it, ReLU, pooling over the pixels and a linear layer. The
    first block has no norm, and no ReLU before its first convolution. All convolutions have biases except those of the
    attention. SN-GAN's spectral normalization is a separate wrapper.

    | widths     | blocks                                  | channels                               |
    |------------|-----------------------------------------|----------------------------------------|
    | `constant` | halve down to 8x8 or 6x6, then two more | width                                  |
    | `doubling` | halve down to 4x4 or 3x3, then one more | width times 1, 2, 4, 8, 16, 16, ...    |
    | `sngan`    | constant up to 32 pixels, else doubling | 2 width up to 32 pixels, else doubling |

    6x6 and 3x3 are for resolutions of three times a power of two. At 64 pixels the last `doubling` block halves the
    resolution too, to 2x2, as in SN-GAN's code. Each choice is for the same papers as in the generator, but SN-GAN for
    CIFAR uses `constant` with width 128.

    Args:
        channels: Channels of the images.
        resolution: Resolution of the images: a power of two from 16 to 1024 or three times one from 24 to 768.
        width: Factor on the number of channels, see `widths`.
        norm: `none`, `batch` or `layer`, see `normalization`; before every ReLU of the blocks after the first.
            `batch` cannot be combined with a gradient penalty.
        init: Scheme of the initial weights, see `initialize` and the generator.
        init_scale: Scale for the blocks' 3x3 convolutions.
        skip_gain: The scale of all other layers (1x1 skips, attention, last) is `skip_gain` times `init_scale`:
            1 / sqrt(2) in WGAN-GP and SN-GAN, 1 in SAGAN.
        pool: `mean` (WGAN-GP) or `sum` (SN-GAN, SAGAN) over the last pixels.
        head_bias: Bias of the last linear layer; SN-GAN for CIFAR has none, WGAN-GP and SAGAN have one.
        widths: `constant`, `doubling` or `sngan`, see the table.
        hidden: Channels between the two convolutions of a block: those of its `input` (SN-GAN) or its `output` (SAGAN).
            The first block has those of its output.
        attention_divisor: Attention on the first map of resolution / attention_divisor pixels, as in the generator.
            None for no attention.
        attention_form: `code` or `paper`, see `SelfAttention`.
        skip_relu: ReLU on the skip connections too, except in the first block, as in the library mimicry, whose ReLU in
            place changes the input of both branches.

    Raises:
        ValueError: The resolution or an option is not allowed, or no block has a map of the attention's size.
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
        widths: str = "constant",
        hidden: str = "input",
        attention_divisor: int | None = None,
        attention_form: str = "code",
        skip_relu: bool = False,
    ) -> None:
        super().__init__()
        resolution = _require_resolution(resolution)
        _require_choice("pool", pool, ("mean", "sum"))
        _require_choice("hidden", hidden, HIDDEN)
        maps = _discriminator_maps(resolution, width, widths)
        self.pool = pool
        self.input = InputBlock(channels, maps[0][0])
        self.blocks = nn.ModuleList(
            DownBlock(i, norm, after < before, o, i if hidden == "input" else o, skip_relu)
            for (i, before), (o, after) in pairwise(maps)
        )
        self.attentions = _attentions(maps, resolution, attention_divisor, attention_form)
        self.output = nn.Linear(maps[-1][0], 1, bias=head_bias)
        _initialize(self, [self.output], init, init_scale, skip_gain)
        use_channels_last(self)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Pooled last hidden layer (n, c) of images (n, channels, resolution, resolution) in [-1, 1]."""
        for block, attention in zip([self.input, *self.blocks], self.attentions, strict=True):
            x = attention(block(x))  # (n, c', h / 2, w / 2), in the end (n, c, h, w)
        x = F.relu(x)
        return x.mean((2, 3)) if self.pool == "mean" else x.sum((2, 3))  # (n, c)

    def layers_from_image(self) -> list[Layer]:
        """Two convolutions and the skip connection of each block, and the attention after it."""
        return residual_layers([self.input, *self.blocks], self.attentions)


def residual_layers(blocks: Iterable[nn.Module], attentions: Iterable[nn.Module]) -> list[Layer]:
    """The layers of a discriminator's blocks in order, each convolution with the norm before it."""
    layers: list[Layer] = []
    for block, attention in zip(blocks, attentions, strict=True):
        parts = dict(block.named_children())
        layers += [tuple(parts[name] for name in (f"norm{k}", f"conv{k}") if name in parts) for k in (1, 2)]
        layers += [(part,) for part in (parts["skip"], attention) if not isinstance(part, nn.Identity)]
    return layers


class UpBlock(nn.Module):
    """Pre-activation block that doubles the resolution.

    Norm, ReLU, upsample, 3x3, norm, ReLU, 3x3; skip: upsample, 1x1. App. F of WGAN-GP upsamples before the second
    convolution; its code and SN-GAN's do so before the first, as here. (n, inputs, h, w) to (n, outputs, 2 h, 2 w).

    Args:
        inputs: Channels of the input.
        norm: See `normalization`.
        outputs: Channels of the output and between the convolutions; None for `inputs`.
        upsampling: See `ResNetGenerator`.
    """

    def __init__(self, inputs: int, norm: str, outputs: int | None = None, upsampling: str = "nearest") -> None:
        super().__init__()
        outputs = outputs or inputs
        self.upsampling = upsampling
        self.norm1 = normalization(norm, inputs, 2)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.norm2 = normalization(norm, outputs, 2)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs, 2 h, 2 w) for (n, inputs, h, w)."""
        h: Tensor = self.conv1(_upsample(F.relu(self.norm1(x)), self.upsampling))  # (n, outputs, 2 h, 2 w)
        h = self.conv2(F.relu(self.norm2(h)))
        # A 1x1 convolution and upsampling commute; this order costs a quarter.
        return h + _upsample(self.skip(x), self.upsampling)


class InputBlock(nn.Module):
    """First block of the discriminator: 3x3, ReLU, 3x3, pooling; the skip is pooling, 1x1 (SN-GAN's "optimized" block).

    (n, channels, h, w) to (n, width, h / 2, w / 2). It does not start with a ReLU, which would remove the negative
    values of images.

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
    """Pre-activation block that can halve the resolution.

    Norm, ReLU, 3x3, norm, ReLU, 3x3; with `down` average pooling, and 1x1 and pooling as the skip.
        (n, inputs, h, w) to (n, outputs, h / 2, w / 2), or without `down` to (n, outputs, h, w). The skip is the
        identity
    if neither resolution nor channels change.

    Args:
        inputs: Channels of the input.
        norm: See `normalization`.
        down: Halve the resolution.
        outputs: Channels of the output; None for `inputs`.
        hidden: Channels between the convolutions; None for `inputs`.
        skip_relu: See `ResNetDiscriminator`.
    """

    def __init__(
        self,
        inputs: int,
        norm: str,
        down: bool,
        outputs: int | None = None,
        hidden: int | None = None,
        skip_relu: bool = False,
    ) -> None:
        super().__init__()
        self.skip_relu = skip_relu
        outputs, hidden = outputs or inputs, hidden or inputs
        self.down = down
        self.norm1 = normalization(norm, inputs, 2)
        self.conv1 = nn.Conv2d(inputs, hidden, 3, 1, 1)
        self.norm2 = normalization(norm, hidden, 2)
        self.conv2 = nn.Conv2d(hidden, outputs, 3, 1, 1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if down or inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs, h / 2, w / 2) for (n, inputs, h, w) with `down`, else (n, outputs, h, w)."""
        h: Tensor = self.conv1(F.relu(self.norm1(x)))
        h = self.conv2(F.relu(self.norm2(h)))
        if self.skip_relu:
            x = F.relu(x)
        if self.down:
            # A 1x1 convolution and average pooling commute; this order costs a quarter.
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)  # (n, outputs, h / 2, w / 2)
        return h + self.skip(x)


def _require_resolution(resolution: int | None) -> int:
    """Check that the resolution is one of `RESOLUTIONS`, and return it."""
    if resolution is None:
        raise ValueError(
            "residual networks generate images and need a resolution, which points do not have; set architecture=mlp"
        )
    if resolution not in RESOLUTIONS:
        choice = next((size for size in RESOLUTIONS if size > resolution), RESOLUTIONS[-1])
        raise ValueError(
            f"residual networks need dataset.resolution to be one of {', '.join(map(str, RESOLUTIONS))}, "
            f"not {resolution}; set dataset.resolution={choice}"
        )
    return resolution


def _require_choice(key: str, choice: str, allowed: tuple[str, ...]) -> None:
    if choice not in allowed:
        raise ValueError(f"{key} must be one of {', '.join(allowed)}, not {choice!r}")


Maps = list[tuple[int, int]]
"""Channels and resolution of feature maps, in the order of the computation."""


def _generator_maps(resolution: int, width: int, widths: str) -> Maps:
    """The maps of a generator: that of the linear layer, then of each block."""
    _require_choice("widths", widths, WIDTHS)
    start = 6 if resolution % 3 == 0 else 4
    resolutions = [start * 2**k for k in range((resolution // start).bit_length())]  # start, 2 start, ..., resolution
    if _is_constant(widths, resolution):
        return [(4 * width if widths == "sngan" else width, s) for s in resolutions]
    return [(width * min(resolution // s, 16), s) for s in resolutions]


def _discriminator_maps(resolution: int, width: int, widths: str) -> Maps:
    """The maps of a discriminator: that of the input block, then of each block."""
    _require_choice("widths", widths, WIDTHS)
    constant = _is_constant(widths, resolution)
    end = (6 if resolution % 3 == 0 else 8) // (1 if constant else 2)
    halvings = (resolution // end).bit_length() - 1
    resolutions = [resolution // 2**k for k in range(1, halvings + 1)]  # resolution / 2, ..., end
    if constant:
        return [(2 * width if widths == "sngan" else width, s) for s in [*resolutions, end, end]]
    last = 2 if resolution == 64 else end  # SN-GAN's network for 64 pixels halves the resolution once more
    return [(width * min(2**k, 16), s) for k, s in enumerate([*resolutions, last])]


def _is_constant(widths: str, resolution: int) -> bool:
    return widths == "constant" or (widths == "sngan" and resolution <= 32)


def _attentions(maps: Maps, resolution: int, divisor: int | None, form: str) -> nn.ModuleList:
    """One layer per map: attention on the map of resolution / divisor pixels, the identity on the others."""
    _require_choice("attention_form", form, FORMS)
    layers = nn.ModuleList(nn.Identity() for _ in maps)
    if divisor is None:
        return layers
    sizes = [size for _, size in maps]
    allowed = {resolution // size: size for size in sizes}
    if divisor not in allowed:
        choices = ", ".join(f"{d} ({s}x{s})" for d, s in sorted(allowed.items()))
        raise ValueError(f"attention_divisor must be null or one of {choices} at {resolution} pixels, not {divisor}")
    place = sizes.index(allowed[divisor])
    layers[place] = SelfAttention(maps[place][0], form)
    return layers


def _upsample(x: Tensor, mode: str) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode=mode)  # (n, c, 2 h, 2 w)


def _initialize(network: nn.Module, ends: list[nn.Module], scheme: str, scale: float, skip_gain: float) -> None:
    """Initialize with `scale` for the 3x3 convolutions of the blocks, and `skip_gain * scale` for all other layers."""
    initialize(network, scheme, scale)
    skips = [block.skip for block in network.modules() if isinstance(block, UpBlock | InputBlock | DownBlock)]
    attentions = [layer for layer in network.modules() if isinstance(layer, SelfAttention)]
    for layer in [*ends, *skips, *attentions]:
        initialize(layer, scheme, skip_gain * scale)
