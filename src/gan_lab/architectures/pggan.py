"""Progressive GAN: networks that begin at 4x4 pixels and double their side in training (Karras et al., 2018).

How far they have grown is a `Stage`, which `grow` sets; without growing they are plain networks of the full resolution.
"""

from collections.abc import Collection
from itertools import pairwise
from math import log2

import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.sizes import require_power_of_two
from gan_lab.layers.equalized import equalize
from gan_lab.layers.growing import Growing, doubled, enlarged, fade, halved
from gan_lab.layers.initialization import SCHEMES, initialize
from gan_lab.layers.memory import use_channels_last
from gan_lab.layers.minibatch_stddev import MinibatchStddev
from gan_lab.layers.normalization import NORMS, normalization, require_norm
from gan_lab.layers.pixel_norm import PixelNorm

SLOPE = 0.2


class ProGANGenerator(Growing):
    """ProGAN's generator (Karras et al., 2018, Table 2).

    A 4x4 convolution that spreads the latent over 4x4 pixels and a 3x3 one; then, for each doubling, nearest upsampling
    and two 3x3 convolutions. Leaky ReLU of slope 0.2 and the norm follow each of them. A 1x1 convolution for each
    resolution makes images of the maps, with nothing after it, so images may leave [-1, 1] in training.

    While a resolution fades in, its image is blended with the doubled image of the one before. In training mode images
    have the resolution of the stage. In evaluation mode they are as everything outside training wants them: repeated
    pixels up to the full resolution, cut to [-1, 1].

    The map of side s has fmap_base / (s / 2)^fmap_decay channels, rounded down, but at most `width`.

    Args:
        latent_dim: Size of a latent; 512 in the paper.
        channels: Channels of the images.
        resolution: Full side of the images: a power of two from 8 to 1024.
        width: Most channels of a map, fmap_max in the authors' code.
        norm: `pixel`, of latents as well, as in the paper; or `none`, `batch` or `layer`, see `normalization`.
        init: `equalized`, see `equalize`; or a scheme of `initialize`, for plain layers.
        init_scale: Gain of the equalized layers but the images' 1x1 convolutions, whose gain is 1; or the scheme's scale.
        fmap_base: Channels of a map of side 2, if they were not limited.
        fmap_decay: log2 of the ratio of channels from one side to its double.

    Raises:
        ValueError: The resolution or one of the words is not one of the allowed, or a map has no channel.
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
    ) -> None:
        super().__init__(require_power_of_two("pggan", resolution, 8, 1024))
        if norm not in ("pixel", *NORMS):
            raise ValueError(f"norm must be one of pixel, {', '.join(NORMS)}, not {norm!r}")
        widths = [fmaps(side, fmap_base, fmap_decay, width) for side in self.sides]
        self.latent_norm = PixelNorm() if norm == "pixel" else nn.Identity()
        self.blocks = nn.ModuleList(
            [StartBlock(latent_dim, widths[0], norm), *(UpBlock(i, o, norm) for i, o in pairwise(widths))]
        )
        self.to_image = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in widths)
        equalize_or_initialize(self, list(self.to_image), init, init_scale)
        use_channels_last(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (n, channels, s, s) for latents (n, latent_dim): in training of the stage's side, else of the full one."""
        images = self._draw(latents)
        return images if self.training else enlarged(images, self.sides[-1]).clamp(-1, 1)

    def _draw(self, latents: Tensor) -> Tensor:
        level, alpha = self.level, self.stage.alpha
        x: Tensor = self.latent_norm(latents)[:, :, None, None]  # (n, latent_dim, 1, 1)
        for block in self.blocks[: level + 1]:
            before, x = x, block(x)  # (n, c, s / 2, s / 2) and (n, c', s, s)
        images: Tensor = self.to_image[level](x)  # (n, channels, s, s)
        return images if alpha == 1 else fade(doubled(self.to_image[level - 1](before)), images, alpha)


class ProGANDiscriminator(Growing, Discriminator):
    """ProGAN's discriminator (Karras et al., 2018, Table 2), the generator's mirror image.

    A 1x1 convolution for each resolution reads images; then, for each halving, two 3x3 convolutions and a mean pool. At
    4x4 pixels the minibatch standard deviation, one more 3x3 convolution and a linear layer. Leaky ReLU of slope 0.2
    follows each of them, and the norm each 3x3 convolution. It takes images of the resolution of its stage: while that fades
    in, the map of its first block is blended with what the resolution before reads from the halved image.

    Args:
        channels: Channels of the images.
        resolution: Full side of the images: a power of two from 8 to 1024.
        width: Most channels of a map, fmap_max in the authors' code.
        norm: `none`, as in the paper, `batch` or `layer`, see `normalization`. A gradient penalty rules `batch` out.
        init: `equalized`, see `equalize`; or a scheme of `initialize`, for plain layers.
        init_scale: Gain of the equalized layers but the last, whose gain is 1; or the scheme's scale.
        fmap_base: Channels of a map of side 2, if they were not limited.
        fmap_decay: log2 of the ratio of channels from one side to its double.
        minibatch_group: Samples in a group of the minibatch standard deviation: 4 in the TensorFlow code, None for the
            whole batch, as in the paper. With 1 it tells nothing.

    Raises:
        ValueError: The resolution or one of the words is not one of the allowed, a map has no channel, or the group is empty.
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
    ) -> None:
        super().__init__(require_power_of_two("pggan", resolution, 8, 1024))
        require_norm(norm)
        if minibatch_group is not None and minibatch_group < 1:
            raise ValueError(f"minibatch_group must be at least 1, or null for the whole batch, not {minibatch_group}")
        widths = [fmaps(side, fmap_base, fmap_decay, width) for side in self.sides]
        last = fmaps(2, fmap_base, fmap_decay, width)
        self.from_image = nn.ModuleList(nn.Conv2d(channels, c, 1) for c in widths)
        self.blocks = nn.ModuleList(DownBlock(i, o, norm) for o, i in pairwise(widths))
        self.end = EndBlock(widths[0], last, norm, minibatch_group)
        self.output = nn.Linear(last, 1)
        equalize_or_initialize(self, [self.output], init, init_scale)
        use_channels_last(self)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, d) of images (n, channels, s, s) of the stage's side s, in [-1, 1] if they are real."""
        h = self._read(x, self.level)  # (n, c, s, s)
        for level in range(self.level, 0, -1):
            h = self.blocks[level - 1](h)  # (n, c', s / 2, s / 2)
            if level == self.level and self.stage.alpha < 1:
                h = fade(self._read(halved(x), level - 1), h, self.stage.alpha)
        return self.end(h)  # (n, d)

    def _read(self, x: Tensor, level: int) -> Tensor:
        return F.leaky_relu(self.from_image[level](x), SLOPE)


class StartBlock(nn.Module):
    """First block of the generator: latents (n, latent_dim, 1, 1) to maps (n, outputs, 4, 4).

    The transposed 4x4 convolution of one pixel is a linear layer with one bias for each channel.

    Args:
        latent_dim: Size of a latent.
        outputs: Channels of the maps.
        norm: See `ProGANGenerator`.
    """

    def __init__(self, latent_dim: int, outputs: int, norm: str) -> None:
        super().__init__()
        self.project = nn.ConvTranspose2d(latent_dim, outputs, 4)
        self.norm1 = _norm(norm, outputs)
        self.conv = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.norm2 = _norm(norm, outputs)

    def forward(self, latents: Tensor) -> Tensor:
        """(n, outputs, 4, 4) for (n, latent_dim, 1, 1)."""
        x: Tensor = self.norm1(F.leaky_relu(self.project(latents), SLOPE))
        return self.norm2(F.leaky_relu(self.conv(x), SLOPE))


class UpBlock(nn.Module):
    """Block of the generator that doubles the side: upsample, 3x3, 3x3; (n, inputs, s, s) to (n, outputs, 2 s, 2 s).

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
        x = self.norm1(F.leaky_relu(self.conv1(doubled(x)), SLOPE))
        return self.norm2(F.leaky_relu(self.conv2(x), SLOPE))


class DownBlock(nn.Module):
    """Block of the discriminator that halves the side: 3x3, 3x3, mean pool; (n, inputs, 2 s, 2 s) to (n, outputs, s, s).

    Args:
        inputs: Channels of the input and between the convolutions.
        outputs: Channels of the output.
        norm: See `ProGANDiscriminator`.
    """

    def __init__(self, inputs: int, outputs: int, norm: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inputs, 3, 1, 1)
        self.norm1 = _norm(norm, inputs)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, 1, 1)
        self.norm2 = _norm(norm, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs, s, s) for (n, inputs, 2 s, 2 s)."""
        x = self.norm1(F.leaky_relu(self.conv1(x), SLOPE))
        return halved(self.norm2(F.leaky_relu(self.conv2(x), SLOPE)))


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


def fmaps(side: int, base: int, decay: float, largest: int) -> int:
    """Channels of a map of a side, a power of two: base / (side / 2)^decay rounded down, at most `largest`.

    Raises:
        ValueError: There are none.
    """
    count = min(int(base / 2 ** (decay * (log2(side) - 1))), largest)
    if count < 1:
        raise ValueError(f"fmap_base={base} and fmap_decay={decay} leave maps of {side} pixels no channel")
    return count


def _norm(name: str, channels: int) -> nn.Module:
    return PixelNorm() if name == "pixel" else normalization(name, channels, 2)


def equalize_or_initialize(network: nn.Module, ends: Collection[nn.Module], init: str, scale: float) -> None:
    """Initial weights; the gain of equalized `ends`, which no leaky ReLU follows, is 1.

    Raises:
        ValueError: The word is not known.
    """
    if init not in ("equalized", *SCHEMES):
        raise ValueError(f"init must be one of equalized, {', '.join(SCHEMES)}, not {init!r}")
    if init != "equalized":
        initialize(network, init, scale)
        return
    for layer in list(network.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            equalize(layer, 1.0 if layer in ends else scale)
