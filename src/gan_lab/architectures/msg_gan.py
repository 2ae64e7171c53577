"""MSG-GAN: ProGAN's blocks, of which each draws or judges an image of its own side (Karnewar & Wang, 2020).

Gradients reach all sides of the generator at once, so that large images need no growing. See `gan_lab.layers.multi_scale`
for what the networks hand to each other.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.pggan import DownBlock, EndBlock, StartBlock, UpBlock, equalize_or_initialize, fmaps
from gan_lab.architectures.sizes import require_power_of_two
from gan_lab.layers.memory import use_channels_last
from gan_lab.layers.multi_scale import MultiScale, apart, at_all_scales, in_a_row
from gan_lab.layers.normalization import NORMS, require_norm
from gan_lab.layers.pixel_norm import PixelNorm


class MSGGenerator(MultiScale):
    """MSG-GAN's generator: that of ProGAN, with an image from every side (Karnewar & Wang, 2020, section 2).

    After each block a 1x1 convolution makes an image of the maps, with nothing after it, so images may leave [-1, 1] in
    training. The authors' code has no pixel norm before the second convolution of the first block; ProGAN's block has.

    In training mode a sample is its images at all sides, see `gan_lab.layers.multi_scale`. In evaluation mode it is the
    largest of them, cut to [-1, 1].

    Args:
        latent_dim: Size of a latent; 512 in the paper.
        channels: Channels of the images.
        resolution: Full side of the images: a power of two from 8 to 1024.
        width: Most channels of a map.
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
        super().__init__(require_power_of_two("msg_gan", resolution, 8, 1024))
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
        """Samples of latents (n, latent_dim): (n, channels, sum of s²) in training, else (n, channels, R, R) in [-1, 1]."""
        x: Tensor = self.latent_norm(latents)[:, :, None, None]  # (n, latent_dim, 1, 1)
        images = []
        for block, to_image in zip(self.blocks, self.to_image, strict=True):
            x = block(x)  # (n, c, s, s)
            images.append(to_image(x))  # (n, channels, s, s)
        return in_a_row(images) if self.training else images[-1].clamp(-1, 1)


class MSGDiscriminator(MultiScale, Discriminator):
    """MSG-GAN's discriminator: that of ProGAN, which reads an image at every side (Karnewar & Wang, 2020, section 2).

    At each side a 1x1 convolution reads the image of that side. Its channels stand beside those of the block before, half
    of the map's channels each; the largest image fills its map alone. What follows is as in ProGAN.

    It takes samples as the generator draws them in training, or plain images, which it pools to all sides itself.

    Args:
        channels: Channels of the images.
        resolution: Full side of the images: a power of two from 8 to 1024.
        width: Most channels of a map.
        norm: `none`, as in the paper, `batch` or `layer`, see `normalization`. A gradient penalty rules `batch` out.
        init: `equalized`, see `equalize`; or a scheme of `initialize`, for plain layers.
        init_scale: Gain of the equalized layers that a leaky ReLU follows, 1 for the others; or the scheme's scale.
        fmap_base: Channels of a map of side 2, if they were not limited.
        fmap_decay: log2 of the ratio of channels from one side to its double.
        minibatch_group: Samples in a group of the minibatch standard deviation; None for the whole batch, as in the
            authors' code.

    Raises:
        ValueError: The resolution or one of the words is not one of the allowed, a map has fewer than two channels, or the
            group is empty.
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
        minibatch_group: int | None = None,
    ) -> None:
        super().__init__(require_power_of_two("msg_gan", resolution, 8, 1024))
        require_norm(norm)
        widths = [fmaps(side, fmap_base, fmap_decay, width) for side in self.sides]
        if min(widths) < 2:
            raise ValueError(
                f"width={width} and fmap_base={fmap_base} leave a map of one channel; it takes two, or more"
            )
        last = fmaps(2, fmap_base, fmap_decay, width)
        shares = [*(c - c // 2 for c in widths[:-1]), widths[-1]]  # of the image in a map
        self.from_image = nn.ModuleList(nn.Conv2d(channels, share, 1) for share in shares)
        self.blocks = nn.ModuleList(DownBlock(i, o // 2, norm) for o, i in pairwise(widths))
        self.end = EndBlock(widths[0], last, norm, minibatch_group)
        self.output = nn.Linear(last, 1)
        equalize_or_initialize(self, [*self.from_image, self.output], init, init_scale)
        use_channels_last(self)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, d) of samples (n, channels, sum of s²), or of images (n, channels, R, R)."""
        images = apart(x, self.sides) if x.dim() == 3 else at_all_scales(x, self.sides)
        h = self.from_image[-1](images[-1])  # (n, c, R, R)
        for level in range(len(self.blocks) - 1, -1, -1):
            h = self.blocks[level](h)  # (n, c' / 2, s, s)
            h = torch.cat([h, self.from_image[level](images[level])], 1)  # (n, c', s, s)
        return self.end(h)  # (n, d)
