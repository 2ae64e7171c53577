"""U-Net from images to images, the generator of pix2pix (Isola et al., 2017)."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.sizes import require_power_of_two
from gan_lab.layers.initialization import initialize
from gan_lab.layers.memory import use_channels_last
from gan_lab.layers.noise_dropout import NoiseDropout
from gan_lab.layers.normalization import normalization
from gan_lab.layers.per_image_batch_norm import PerImageBatchNorm2d

SLOPE = 0.2
MAX_FACTOR = 8
"""Widest layer, in units of `width`."""

DROPOUT_LAYERS = ("lua", "pytorch")


class UNetGenerator(nn.Module):
    """U-Net of pix2pix (Isola et al., 2017, section 3.2 and appendix 6.1.1).

    An encoder of n convolutions of stride 2 down to one pixel, with 1, 2, 4, 8, 8, ... times `width` channels, and a
    decoder of n transposed convolutions, each of which also gets the encoder's map of its size. Kernels of 4x4. Leaky
    ReLU of slope 0.2 before each convolution except the first, ReLU before each transposed one, tanh at the end; a norm
    after each layer except the first, the innermost and the last. In evaluation mode batch norm uses the statistics of
    each image, see `PerImageBatchNorm2d`, and dropout stays on as noise, see `NoiseDropout`.

    The network takes images whose height and width are multiples of 2^n. The authors' PyTorch code has no dropout at 32
    pixels, and one layer at 64.

    Args:
        latent_dim: Numbers of a latent, which are constant maps beside the source; 0 for none, as in the paper.
        channels: Channels of the images that it makes.
        resolution: Resolution of the images, 2^n: a power of two from 32 to 512.
        width: Channels of the first layer.
        norm: `none`, `batch`, `instance` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.
        source_channels: Channels of the source images; None, for a data set without them, is an error.
        dropout: Probability of dropping a number, 0 for no noise.
        dropout_layers: Layers of the decoder with dropout, counted from the innermost: `lua` for the first three, as in
            the paper and its Lua code; `pytorch` for layers 2 to n - 4 of the authors' PyTorch code.
        bias: Biases also where a norm follows that has shifts, as in the Lua code, which keeps them 0.

    Raises:
        ValueError: The resolution or an option is not allowed, or there are no source images.
    """

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        resolution: int | None,
        width: int = 64,
        norm: str = "batch",
        init: str = "normal",
        init_scale: float = 0.02,
        source_channels: int | None = None,
        dropout: float = 0.5,
        dropout_layers: str = "lua",
        bias: bool = False,
    ) -> None:
        super().__init__()
        if source_channels is None:
            raise ValueError(
                "architecture=unet makes images from images; set dataset=paired conditioning=source_image, or another "
                "model and its architecture, as in model=dcgan architecture=dcgan"
            )
        if dropout_layers not in DROPOUT_LAYERS:
            raise ValueError(
                f"architecture.generator.dropout_layers={dropout_layers} is not known; "
                f"choose {' or '.join(DROPOUT_LAYERS)}"
            )
        depth = require_power_of_two("unet", resolution, 32, 512).bit_length() - 1  # n
        widths = [width * min(2**level, MAX_FACTOR) for level in range(depth)]  # at resolution / 2, ..., 1
        inner_bias = bias or norm in ("none", "instance")
        self.multiple = 2**depth
        self.source_channels, self.channels = source_channels, channels
        self.down = nn.ModuleList(
            nn.Conv2d(i, o, 4, 2, 1, bias=inner_bias) for i, o in pairwise([source_channels + latent_dim, *widths])
        )
        self.down_norms = nn.ModuleList(_norm(norm, maps) for maps in widths[1:-1])
        outputs = widths[-2::-1]
        inputs = [widths[-1], *(2 * maps for maps in outputs)]  # with the encoder's map, but for the innermost
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(i, o, 4, 2, 1, bias=inner_bias) for i, o in zip(inputs[:-1], outputs, strict=True)
        )
        self.up_norms = nn.ModuleList(_norm(norm, maps) for maps in outputs)
        dropped = range(3) if dropout_layers == "lua" else range(1, depth - 4)
        self.dropouts = nn.ModuleList(NoiseDropout(dropout if k in dropped else 0.0) for k in range(depth - 1))
        self.output = nn.ConvTranspose2d(inputs[-1], channels, 4, 2, 1)
        initialize(self, init, init_scale)
        use_channels_last(self)

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images (n, channels, h, w) in [-1, 1] for latents (n, latent_dim) and sources (n, source_channels, h, w)."""
        if condition is None:
            raise ValueError("this generator makes images from images: call it with the source of each sample")
        maps = latents[:, :, None, None].expand(-1, -1, *condition.shape[2:])
        encoded = self._encode(torch.cat([condition, maps.to(condition.dtype)], 1))
        x = encoded.pop()  # (n, 8 width, h / 2^n, w / 2^n)
        for up, norm, dropout in zip(self.up, self.up_norms, self.dropouts, strict=True):
            x = torch.cat([dropout(norm(up(F.relu(x)))), encoded.pop()], 1)  # (n, 2 c, 2 h, 2 w)
        return torch.tanh(self.output(F.relu(x)))

    def _encode(self, x: Tensor) -> list[Tensor]:
        """Outputs of the encoder's layers, from the image down, for inputs (n, source_channels + latent_dim, h, w)."""
        norms = [nn.Identity(), *self.down_norms, nn.Identity()]
        encoded: list[Tensor] = []
        for conv, norm in zip(self.down, norms, strict=True):
            x = norm(conv(F.leaky_relu(x, SLOPE) if encoded else x))
            encoded.append(x)
        return encoded


def _norm(name: str, channels: int) -> nn.Module:
    if name == "batch":
        return PerImageBatchNorm2d(channels, track_running_stats=False)
    return normalization(name, channels, 2)
