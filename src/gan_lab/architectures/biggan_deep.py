"""Networks of BigGAN-deep (Brock et al., 2019, App. B, Tables 7 to 9, and the authors' code)."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.biggan import attentions, discriminator_maps, generator_maps, to_map, upsample
from gan_lab.layers.initialization import initialize
from gan_lab.layers.memory import use_channels_last
from gan_lab.layers.modulated_norm import ModulatedNorm
from gan_lab.layers.normalization import normalization
from gan_lab.ranges import require_at_least


class BigGANDeepGenerator(nn.Module):
    """Generator of BigGAN-deep: two bottleneck blocks per resolution, all modulated by the complete input.

    A linear layer maps the input, latent and label embedding, to the 4x4 map; the input is also the condition of every
    norm (`ModulatedNorm`). The first block of a resolution keeps it, the second doubles it; the maps are those of
    BigGAN. Then norm, ReLU, a 3x3 convolution and tanh. The paper has 128, 256 and 512 pixels; 32 and 64 use the maps
    of BigGAN too.

    Args:
        latent_dim: Size of the input: the latent, followed by the label's embedding.
        channels: Channels of the images.
        resolution: Resolution of the images: 32, 64, 128, 256 or 512.
        width: Factor on BigGAN's numbers of channels: 128 in the paper.
        norm: `none`, `batch` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.
        attention_resolution: Attention on the map of this resolution, in pixels; smaller images have none. None for no
            attention.
        attention_form: `code` or `paper`, see `SelfAttention`.
        output_width: Channels of the last convolution, of which the first are the image: 128 in the authors' code. None
            for those of the image.

    Raises:
        ValueError: The resolution or an option is not allowed.
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
        attention_resolution: int | None = 64,
        attention_form: str = "code",
        output_width: int | None = None,
    ) -> None:
        super().__init__()
        if output_width is not None:
            require_at_least("architecture.generator.output_width", output_width, channels)
        self.channels = channels
        maps = generator_maps("biggan_deep", resolution, width)
        self.project = nn.Linear(latent_dim, 16 * maps[0][0])
        self.keeping = nn.ModuleList(DeepUpBlock(i, i, norm, latent_dim, up=False) for i, _ in maps[:-1])
        self.doubling = nn.ModuleList(DeepUpBlock(i, o, norm, latent_dim, up=True) for (i, _), (o, _) in pairwise(maps))
        self.attentions = attentions(maps[1:], attention_resolution, attention_form)
        self.output_norm = normalization(norm, maps[-1][0], 2)
        self.output = nn.Conv2d(maps[-1][0], output_width or channels, 3, 1, 1)
        initialize(self, init, init_scale)
        use_channels_last(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, channels, resolution, resolution) in [-1, 1] for latents (n, latent_dim)."""
        x = to_map(self.project(latents))  # (n, c, 4, 4)
        for keep, double, attention in zip(self.keeping, self.doubling, self.attentions, strict=True):
            x = attention(double(keep(x, latents), latents))  # (n, c', 2 h, 2 w)
        x = self.output(F.relu(self.output_norm(x)))[:, : self.channels]
        return torch.tanh(x)  # (n, channels, resolution, resolution)


class BigGANDeepDiscriminator(Discriminator):
    """Discriminator of BigGAN-deep: a 3x3 convolution, two bottleneck blocks per resolution, ReLU, sum, linear layer.

    The first block of a pair halves the resolution and adds channels, the second keeps both; the maps are those of
    BigGAN, the first being that of the convolution. At 32 pixels only two of the three pairs halve the resolution.
    Spectral normalization and the projection of the label are separate wrappers.

    Args:
        channels: Channels of the images.
        resolution: Resolution of the images: 32, 64, 128, 256 or 512.
        width: Factor on BigGAN's numbers of channels: 128 in the paper.
        norm: `none`, `batch` or `layer`, see `normalization`; before every ReLU of the blocks. `batch` cannot be
            combined with a gradient penalty.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.
        attention_resolution: Attention on the map of this resolution, as in the generator.
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
        maps = discriminator_maps("biggan_deep", resolution, width, halved=False)
        self.input = nn.Conv2d(channels, maps[0][0], 3, 1, 1)
        self.widening = nn.ModuleList(
            DeepDownBlock(i, o, norm, down=after < before) for (i, before), (o, after) in pairwise(maps)
        )
        self.keeping = nn.ModuleList(DeepDownBlock(o, o, norm, down=False) for o, _ in maps[1:])
        self.attentions = attentions(maps[1:], attention_resolution, attention_form)
        self.output = nn.Linear(maps[-1][0], 1)
        initialize(self, init, init_scale)
        use_channels_last(self)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Summed last hidden layer (n, c) of images (n, channels, resolution, resolution) in [-1, 1]."""
        x = self.input(x)  # (n, width, resolution, resolution)
        for widen, keep, attention in zip(self.widening, self.keeping, self.attentions, strict=True):
            x = attention(keep(widen(x)))  # (n, c', h / 2, w / 2); the last blocks keep h and w
        return F.relu(x).sum((2, 3))  # (n, c)


class DeepUpBlock(nn.Module):
    """Generator block with a bottleneck of a quarter of the channels.

    Norm, ReLU, 1x1, norm, ReLU, upsample, 3x3, norm, ReLU, 3x3, norm, ReLU, 1x1; the skip drops the last channels of
    the input, and upsamples. (n, inputs, h, w) and conditions (n, condition_dim) to (n, outputs, 2 h, 2 w), or without
    `up` to (n, outputs, h, w).

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output, at most `inputs`.
        norm: See `normalization`.
        condition_dim: Size of a condition of the norms.
        up: Double the resolution.
    """

    def __init__(self, inputs: int, outputs: int, norm: str, condition_dim: int, up: bool) -> None:
        super().__init__()
        hidden = max(1, inputs // 4)
        self.outputs = outputs
        self.up = up
        self.norm1 = ModulatedNorm(norm, inputs, condition_dim)
        self.conv1 = nn.Conv2d(inputs, hidden, 1)
        self.norm2 = ModulatedNorm(norm, hidden, condition_dim)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, 1, 1)
        self.norm3 = ModulatedNorm(norm, hidden, condition_dim)
        self.conv3 = nn.Conv2d(hidden, hidden, 3, 1, 1)
        self.norm4 = ModulatedNorm(norm, hidden, condition_dim)
        self.conv4 = nn.Conv2d(hidden, outputs, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(n, outputs, 2 h, 2 w) for (n, inputs, h, w) with `up`, else (n, outputs, h, w)."""
        h: Tensor = self.conv1(F.relu(self.norm1(x, condition)))  # (n, hidden, h, w)
        h = F.relu(self.norm2(h, condition))
        x = x[:, : self.outputs]  # (n, outputs, h, w)
        if self.up:
            h, x = upsample(h), upsample(x)
        h = self.conv2(h)
        h = self.conv3(F.relu(self.norm3(h, condition)))
        return x + self.conv4(F.relu(self.norm4(h, condition)))


class DeepDownBlock(nn.Module):
    """Discriminator block with a bottleneck of a quarter of the output's channels.

    ReLU, 1x1, ReLU, 3x3, ReLU, 3x3, ReLU, average pooling, 1x1; the skip pools the input and appends channels from a
    1x1 convolution of it. (n, inputs, h, w) to (n, outputs, h / 2, w / 2), or without `down` to (n, outputs, h, w).

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output, at least `inputs`.
        norm: See `normalization`; before every ReLU.
        down: Halve the resolution.
    """

    def __init__(self, inputs: int, outputs: int, norm: str, down: bool) -> None:
        super().__init__()
        hidden = max(1, outputs // 4)
        self.norm1 = normalization(norm, inputs, 2)
        self.conv1 = nn.Conv2d(inputs, hidden, 1)
        self.norm2 = normalization(norm, hidden, 2)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, 1, 1)
        self.norm3 = normalization(norm, hidden, 2)
        self.conv3 = nn.Conv2d(hidden, hidden, 3, 1, 1)
        self.norm4 = normalization(norm, hidden, 2)
        self.pool = nn.AvgPool2d(2) if down else nn.Identity()
        self.conv4 = nn.Conv2d(hidden, outputs, 1)
        self.further = nn.Conv2d(inputs, outputs - inputs, 1) if outputs > inputs else None

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs, h / 2, w / 2) for (n, inputs, h, w) with `down`, else (n, outputs, h, w)."""
        h: Tensor = self.conv1(F.relu(self.norm1(x)))  # (n, hidden, h, w)
        h = self.conv2(F.relu(self.norm2(h)))
        h = self.conv3(F.relu(self.norm3(h)))
        h = self.conv4(self.pool(F.relu(self.norm4(h))))
        x = self.pool(x)  # (n, inputs, h / 2, w / 2)
        return h + (x if self.further is None else torch.cat([x, self.further(x)], 1))
