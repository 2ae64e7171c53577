"""PatchGAN and PixelGAN: discriminators with a logit for each patch of an image (Isola et al., 2017)."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.architectures.base import Discriminator, Layer
from gan_lab.layers.initialization import initialize
from gan_lab.layers.memory import use_channels_last
from gan_lab.layers.normalization import normalization
from gan_lab.ranges import require_range

SLOPE = 0.2
MAX_FACTOR = 8
"""Widest layer, in units of `width`."""


class PatchDiscriminator(Discriminator):
    """PatchGAN with n convolutions of stride 2, or PixelGAN (Isola et al., 2017, section 3.2.2 and appendix 6.1.2).

    Convolutions of 4x4 with leaky ReLU of slope 0.2: n of stride 2 with 1, 2, 4, 8, 8, ... times `width` channels, one
    of stride 1, and one to a map of logits. A norm follows each except the first and the last. With n = 0 all kernels
    are 1x1, and the widths 1 and 2 times `width`. The map of logits has resolution / 2^n - 2 rows and columns:

    | n              | 0 (PixelGAN) | 1  | 2  | 3  | 4   | 5   |
    |----------------|--------------|----|----|----|-----|-----|
    | pixels a logit | 1            | 16 | 34 | 70 | 142 | 286 |

    Layers before batch norm have no biases, nor has the output of a PixelGAN with batch norm, as in the authors' code.

    Args:
        channels: Channels of the samples; with the wrapper `ConcatSource`, those of the source added.
        resolution: Resolution of the images: at least 3 2^n pixels.
        width: Channels of the first layer.
        norm: `none`, `batch`, `instance` or `layer`, see `normalization`.
        init: Scheme of the initial weights, see `initialize`.
        init_scale: Scale of the initial weights.
        layers: n, from 0 to 5.

    Raises:
        ValueError: The resolution or an option is not allowed.
    """

    output: nn.Conv2d  # type: ignore[assignment]  # the base class has one logit for each sample

    def __init__(
        self,
        channels: int,
        resolution: int | None,
        width: int = 64,
        norm: str = "batch",
        init: str = "normal",
        init_scale: float = 0.02,
        layers: int = 3,
    ) -> None:
        super().__init__()
        _require_layers(layers, resolution)
        last = max(layers, 1)  # of the hidden layers, counted from 0
        widths = [width * min(2**level, MAX_FACTOR) for level in range(last + 1)]
        kernel, padding = (4, 1) if layers else (1, 0)
        bias = norm in ("none", "instance")
        self.input = nn.Conv2d(channels, widths[0], kernel, 2 if layers else 1, padding)
        self.convs = nn.ModuleList(
            nn.Conv2d(i, o, kernel, 2 if level < last and layers else 1, padding, bias=bias)
            for level, (i, o) in enumerate(pairwise(widths), 1)
        )
        self.norms = nn.ModuleList(normalization(norm, o, 2) for o in widths[1:])
        self.output = nn.Conv2d(widths[-1], 1, kernel, 1, padding, bias=bias or layers > 0)
        initialize(self, init, init_scale)
        use_channels_last(self)

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Last hidden layer (n, c, h, w) of images (n, channels, H, W) in [-1, 1]."""
        x = F.leaky_relu(self.input(x), SLOPE)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), SLOPE)
        return x

    def head(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        """Maps of logits (n, h, w) of features (n, c, h, w)."""
        logits: Tensor = self.output(features)  # (n, 1, h, w)
        return logits.squeeze(1)

    def layers_from_image(self) -> list[Layer]:
        """All hidden convolutions, each with its norm."""
        return [(self.input,), *zip(self.convs, self.norms, strict=True)]


def _require_layers(layers: int, resolution: int | None) -> None:
    require_range("architecture.discriminator.layers", layers, type(layers) is int and 0 <= layers <= 5, "from 0 to 5")
    if resolution is None:
        raise ValueError("architecture=unet is for images, and points have no pixels; set architecture=mlp")
    if layers and resolution < 3 * 2**layers:
        largest = max(k for k in range(6) if k == 0 or resolution >= 3 * 2**k)
        raise ValueError(
            f"architecture.discriminator.layers={layers} leaves no logits of {resolution} pixels; "
            f"set architecture.discriminator.layers={largest}"
        )
