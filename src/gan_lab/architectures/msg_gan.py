"""MSG-GAN: ProGAN's blocks, each with an image of its own resolution (Karnewar & Wang, 2020).

Gradients reach all resolutions of the generator at once, so large images do not need growing networks. See
`gan_lab.layers.multi_scale` for the format of samples at all scales.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator
from gan_lab.architectures.pggan import DownBlock, EndBlock, StartBlock, UpBlock, equalize_or_initialize, fmaps
from gan_lab.architectures.sizes import require_power_of_two
from gan_lab.layers.memory import use_channels_last
from gan_lab.layers.multi_scale import MultiScale, image_pyramid, pack_scales, unpack_scales
from gan_lab.layers.normalization import NORMS, require_norm
from gan_lab.layers.pixel_norm import PixelNorm


class MSGGenerator(MultiScale):
    """MSG-GAN's generator: that of ProGAN, with an image from every block (Karnewar & Wang, 2020, section 2).

    After each block a 1x1 convolution without an activation makes an image, so images may leave [-1, 1] in training.
    As in the authors' code, and unlike in ProGAN, the first block has no norm before its second convolution, and all
    equalized layers have the same gain: also the 1x1 convolutions to images, and the layer of the latent, whose fan-in
    is the latent's size alone.

    In training mode a sample has images at all resolutions, see `gan_lab.layers.multi_scale`. In evaluation mode it is
    the largest image, clipped to [-1, 1].

    Args:
        latent_dim: Size of a latent; 512 in the paper.
        channels: Channels of the images.
        resolution: Full resolution of the images: a power of two from 8 to 1024.
        width: Maximum number of channels of a map.
        norm: `pixel`, of latents as well, as in the paper; or `none`, `batch` or `layer`, see `normalization`.
        init: `equalized`, see `equalize`; or a scheme of `initialize`, for plain layers.
        init_scale: Gain of the equalized layers, or the scheme's scale.
        fmap_base: Channels of a map of resolution 2, without the limit `width`.
        fmap_decay: log2 of the ratio of channels from one resolution to its double.

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
    ) -> None:
        super().__init__(require_power_of_two("msg_gan", resolution, 8, 1024))
        if norm not in ("pixel", *NORMS):
            raise ValueError(f"norm must be one of pixel, {', '.join(NORMS)}, not {norm!r}")
        widths = [fmaps(resolution, fmap_base, fmap_decay, width) for resolution in self.resolutions]
        self.latent_norm = PixelNorm() if norm == "pixel" else nn.Identity()
        self.blocks = nn.ModuleList(
            [
                StartBlock(latent_dim, widths[0], norm, both_norms=False),
                *(UpBlock(i, o, norm) for i, o in pairwise(widths)),
            ]
        )
        self.to_image = nn.ModuleList(nn.Conv2d(c, channels, 1) for c in widths)
        # A transposed 4x4 convolution has 16 taps for each input, of which one reaches each pixel of 4x4.
        equalize_or_initialize(self, {self.blocks[0].get_submodule("project"): 4 * init_scale}, init, init_scale)
        use_channels_last(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Samples for latents (n, latent_dim): (n, channels, sum of s²) in training, else (n, channels, R, R)."""
        x: Tensor = self.latent_norm(latents)[:, :, None, None]  # (n, latent_dim, 1, 1)
        images = []
        for block, to_image in zip(self.blocks, self.to_image, strict=True):
            x = block(x)  # (n, c, s, s)
            images.append(to_image(x))  # (n, channels, s, s)
        return pack_scales(images) if self.training else images[-1].clamp(-1, 1)


class MSGDiscriminator(MultiScale, Discriminator):
    """MSG-GAN's discriminator: that of ProGAN, with an image as input at every resolution (Karnewar & Wang, 2020).

    At each resolution a 1x1 convolution reads the image of that resolution. Its channels and those of the previous
    block are concatenated, half of the map's channels each; the map of the largest image has only its channels. The
    rest is as in ProGAN.

    It takes samples at all scales, as the generator returns them in training, or images, which it downsamples itself.

    Args:
        channels: Channels of the images.
        resolution: Full resolution of the images: a power of two from 8 to 1024.
        width: Maximum number of channels of a map.
        norm: `none`, as in the paper, `batch` or `layer`, see `normalization`. `batch` cannot be combined with a
            gradient penalty.
        init: `equalized`, see `equalize`; or a scheme of `initialize`, for plain layers.
        init_scale: Gain of the equalized layers, all of them as in the authors' code; or the scheme's scale.
        fmap_base: Channels of a map of resolution 2, without the limit `width`.
        fmap_decay: log2 of the ratio of channels from one resolution to its double.
        minibatch_group: Samples in a group of the minibatch standard deviation; None for all samples of the batch, as
            in the authors' code.

    Raises:
        ValueError: The resolution or an option is not allowed, a map has fewer than two channels, or the
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
        widths = [fmaps(resolution, fmap_base, fmap_decay, width) for resolution in self.resolutions]
        if min(widths) < 2:
            raise ValueError(
                f"width={width} and fmap_base={fmap_base} leave a map with one channel; at least two are needed"
            )
        last = fmaps(2, fmap_base, fmap_decay, width)
        image_widths = [*(c - c // 2 for c in widths[:-1]), widths[-1]]  # channels from the image in each map
        self.from_image = nn.ModuleList(nn.Conv2d(channels, image_width, 1) for image_width in image_widths)
        self.blocks = nn.ModuleList(DownBlock(i, o // 2, norm) for o, i in pairwise(widths))
        self.end = EndBlock(widths[0], last, norm, minibatch_group)
        self.output = nn.Linear(last, 1)
        equalize_or_initialize(self, {}, init, init_scale)
        use_channels_last(self)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, d) of samples (n, channels, sum of s²), or of images (n, channels, R, R)."""
        images = unpack_scales(x, self.resolutions) if x.dim() == 3 else image_pyramid(x, self.resolutions)
        h = self.from_image[-1](images[-1])  # (n, c, R, R)
        for level in range(len(self.blocks) - 1, -1, -1):
            h = self.blocks[level](h)  # (n, c' / 2, s, s)
            h = torch.cat([h, self.from_image[level](images[level])], 1)  # (n, c', s, s)
        return self.end(h)  # (n, d)
