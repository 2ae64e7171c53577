"""Networks of BigGAN (Brock et al., 2019, App. B, and the authors' code)."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator, Layer
from gan_lab.architectures.resnet import DownBlock, InputBlock, residual_layers
from gan_lab.architectures.sizes import require_resolution
from gan_lab.layers.initialization import initialize
from gan_lab.layers.memory import use_channels_last
from gan_lab.layers.modulated_norm import ModulatedNorm
from gan_lab.layers.normalization import normalization
from gan_lab.layers.self_attention import FORMS, SelfAttention

GENERATOR = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
"""Channels divided by the width, by resolution: of the 4x4 map, then after each doubling of the resolution."""

DISCRIMINATOR = {
    32: (4, 4, 4, 4),
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
    512: (1, 1, 2, 4, 8, 8, 16, 16),
}
"""Channels divided by the width, by resolution, in the order of the blocks."""

Maps = list[tuple[int, int]]
"""Channels and resolution of feature maps, in the order of the computation."""


class BigGANGenerator(nn.Module):
    """Generator of BigGAN: residual blocks with norms that are modulated by a chunk of the latent and by the label.

    The latent is split into equal chunks. A linear layer maps the first to the 4x4 map; each other chunk, concatenated
    with the label's embedding if there is one, is the condition of both norms of one block (`ModulatedNorm`). Then
    norm, ReLU, a 3x3 convolution and tanh. All layers have biases except the convolutions of the attention. The
    channels of a map are the width times the number in `GENERATOR`.

    Args:
        latent_dim: Size of the input: the latent, followed by the label's embedding of size `label_dim`.
        channels: Channels of the images.
        resolution: Resolution of the images: 32, 64, 128, 256 or 512.
        width: Factor on the numbers in `GENERATOR`: 96 in the paper, 64 in the authors' code for CIFAR.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.
        hierarchical: Split the latent. Otherwise all of it is mapped to the 4x4 map, and only the label modulates
            norms.
        label_dim: Size of the label's embedding in the input; the conditioning wrapper sets it.
        attention_resolution: Attention on the map of this resolution, in pixels; smaller images have none. None for no
            attention.
        attention_form: `code` or `paper`, see `SelfAttention`.

    Raises:
        ValueError: The resolution or an option is not allowed, or the latent cannot be split evenly.
    """

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        resolution: int | None,
        width: int = 64,
        norm: str = "batch",
        init: str = "orthogonal",
        init_scale: float = 1.0,
        hierarchical: bool = True,
        label_dim: int = 0,
        attention_resolution: int | None = 64,
        attention_form: str = "code",
    ) -> None:
        super().__init__()
        maps = generator_maps("biggan", resolution, width)
        self.chunks = len(maps) if hierarchical else 1
        self.split = [latent_dim - label_dim, label_dim]
        chunk = _chunk_size(latent_dim - label_dim, self.chunks)
        condition_dim = label_dim + (chunk if hierarchical else 0)
        self.project = nn.Linear(chunk, 16 * maps[0][0])
        self.blocks = nn.ModuleList(UpBlock(i, o, norm, condition_dim) for (i, _), (o, _) in pairwise(maps))
        self.attentions = attentions(maps[1:], attention_resolution, attention_form)
        self.output_norm = normalization(norm, maps[-1][0], 2)
        self.output = nn.Conv2d(maps[-1][0], channels, 3, 1, 1)
        initialize(self, init, init_scale)
        use_channels_last(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, channels, resolution, resolution) in [-1, 1] for latents (n, latent_dim)."""
        noise, label = latents.split(self.split, 1)
        first, *rest = noise.chunk(self.chunks, 1)
        conditions = [torch.cat([chunk, label], 1) for chunk in rest] or [label] * len(self.blocks)
        x = to_map(self.project(first))  # (n, c, 4, 4)
        for block, attention, condition in zip(self.blocks, self.attentions, conditions, strict=True):
            x = attention(block(x, condition))  # (n, c', 2 h, 2 w)
        return torch.tanh(self.output(F.relu(self.output_norm(x))))  # (n, channels, resolution, resolution)


class BigGANDiscriminator(Discriminator):
    """Discriminator of BigGAN: residual blocks without norms, ReLU, sum over the pixels, and a linear layer.

    Every block except the last halves the resolution; at 32 pixels only the first two do. Both convolutions of a block
    have the channels of its output: the width times the number in `DISCRIMINATOR`. All layers have biases except the
    convolutions of the attention. Spectral normalization and the projection of the label are separate wrappers.

    Args:
        channels: Channels of the images.
        resolution: Resolution of the images: 32, 64, 128, 256 or 512.
        width: Factor on the numbers in `DISCRIMINATOR`.
        norm: `none`, `batch` or `layer`, see `normalization`; before every ReLU of the blocks after the first.
            `batch` cannot be combined with a gradient penalty.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.
        attention_resolution: Attention on the first map of this resolution, as in the generator.
        attention_form: `code` or `paper`, see `SelfAttention`.

    Raises:
        ValueError: The resolution or an option is not allowed.
    """

    def __init__(
        self,
        channels: int,
        resolution: int | None,
        width: int = 64,
        norm: str = "none",
        init: str = "orthogonal",
        init_scale: float = 1.0,
        attention_resolution: int | None = 64,
        attention_form: str = "code",
    ) -> None:
        super().__init__()
        maps = discriminator_maps("biggan", resolution, width, halved=True)
        self.input = InputBlock(channels, maps[0][0])
        self.blocks = nn.ModuleList(
            DownBlock(i, norm, down=after < before, outputs=o, hidden=o) for (i, before), (o, after) in pairwise(maps)
        )
        self.attentions = attentions(maps, attention_resolution, attention_form)
        self.output = nn.Linear(maps[-1][0], 1)
        initialize(self, init, init_scale)
        use_channels_last(self)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Summed last hidden layer (n, c) of images (n, channels, resolution, resolution) in [-1, 1]."""
        for block, attention in zip([self.input, *self.blocks], self.attentions, strict=True):
            x = attention(block(x))  # (n, c', h / 2, w / 2); the last blocks keep h and w
        return F.relu(x).sum((2, 3))  # (n, c)

    def layers_from_image(self) -> list[Layer]:
        """Two convolutions and the skip connection of each block, and the attention after it."""
        return residual_layers([self.input, *self.blocks], self.attentions)


class UpBlock(nn.Module):
    """Residual block that doubles the resolution: norm, ReLU, upsample, 3x3, norm, ReLU, 3x3; skip: upsample, 1x1.

    (n, inputs, h, w) and conditions (n, condition_dim) to (n, outputs, 2 h, 2 w).

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output and between the convolutions.
        norm: See `normalization`.
        condition_dim: Size of a condition of the norms; 0 for none.
    """

    def __init__(self, inputs: int, outputs: int, norm: str, condition_dim: int) -> None:
        super().__init__()
        self.norm1 = ModulatedNorm(norm, inputs, condition_dim)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.norm2 = ModulatedNorm(norm, outputs, condition_dim)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(n, outputs, 2 h, 2 w) for (n, inputs, h, w)."""
        h: Tensor = self.conv1(upsample(F.relu(self.norm1(x, condition))))  # (n, outputs, 2 h, 2 w)
        h = self.conv2(F.relu(self.norm2(h, condition)))
        # A 1x1 convolution and nearest-neighbor upsampling commute; this order costs a quarter.
        return h + upsample(self.skip(x))


def generator_maps(architecture: str, resolution: int | None, width: int) -> Maps:
    """The maps of a generator: 4x4, then after each doubling of the resolution.

    Raises:
        ValueError: No generator supports this resolution.
    """
    return [(width * k, 4 * 2**i) for i, k in enumerate(GENERATOR[_require_resolution(architecture, resolution)])]


def discriminator_maps(architecture: str, resolution: int | None, width: int, halved: bool) -> Maps:
    """The maps of a discriminator, down to 4x4, or 8x8 for images of 32 pixels.

    Args:
        architecture: The family's name in the config, for the message.
        resolution: Resolution of the images.
        width: Factor on the numbers in `DISCRIMINATOR`.
        halved: The first map has half the resolution of the image.

    Raises:
        ValueError: No discriminator supports this resolution.
    """
    resolution = _require_resolution(architecture, resolution)
    end = 8 if resolution == 32 else 4
    return [(width * k, max(resolution // 2 ** (i + halved), end)) for i, k in enumerate(DISCRIMINATOR[resolution])]


def attentions(maps: Maps, resolution: int | None, form: str) -> nn.ModuleList:
    """One layer per map: attention on the first map of this resolution, the identity on the others.

    Raises:
        ValueError: The form is unknown, or no network of these families has a map of this resolution.
    """
    if form not in FORMS:
        raise ValueError(f"attention_form must be one of {', '.join(FORMS)}, not {form!r}")
    allowed = [4 * 2**k for k in range(8)]
    if resolution is not None and resolution not in allowed:
        raise ValueError(
            f"attention_resolution must be null or one of {', '.join(map(str, allowed))}, not {resolution}"
        )
    layers = nn.ModuleList(nn.Identity() for _ in maps)
    resolutions = [each for _, each in maps]
    if resolution in resolutions:
        place = resolutions.index(resolution)
        layers[place] = SelfAttention(maps[place][0], form)
    return layers


def to_map(x: Tensor) -> Tensor:
    """Reshape (n, 16 c) to (n, c, 4, 4) with the channels last in memory: channels_last without a copy."""
    return x.unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)


def upsample(x: Tensor) -> Tensor:
    """Nearest-neighbor upsampling, (n, c, h, w) to (n, c, 2 h, 2 w)."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def _require_resolution(architecture: str, resolution: int | None) -> int:
    allowed = sorted(GENERATOR)
    return require_resolution(architecture, resolution, allowed, f"one of {', '.join(map(str, allowed))}")


def _chunk_size(latent_dim: int, chunks: int) -> int:
    if latent_dim < chunks or latent_dim % chunks:
        raise ValueError(
            f"latent.dim={latent_dim} cannot be split into {chunks} equal chunks, one for the first layer and one for "
            f"each block; set latent.dim={20 * chunks}, or architecture.generator.hierarchical=false"
        )
    return latent_dim // chunks
