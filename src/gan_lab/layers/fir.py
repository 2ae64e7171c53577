"""Resampling of images with the filter [1, 3, 3, 1], in operations that can be differentiated twice."""

import torch
import torch.nn.functional as F
from torch import Tensor


def fir_upsample(x: Tensor) -> Tensor:
    """Double the resolution (Karras et al., 2020, section 4.1): (n, c, h, w) to (n, c, 2 h, 2 w).

    Zeros between the pixels, then the filter, with gain 4. Inside it is bilinear interpolation with weights 1/4 and
    3/4. Outside of the image are zeros, so the outermost pixels are darker.
    """
    return F.conv_transpose2d(x, 4 * _kernel(x), stride=2, padding=1, groups=x.shape[1])


def fir_downsample(x: Tensor) -> Tensor:
    """Halve the resolution: the filter, with zeros outside of the image, then every second pixel; (n, c, h, w)."""
    return F.conv2d(x, _kernel(x), stride=2, padding=1, groups=x.shape[1])


def fir_filter(x: Tensor, padding: int, gain: float = 1.0) -> Tensor:
    """The filter alone: (n, c, h, w) to (n, c, h + 2 padding - 3, w + 2 padding - 3).

    Args:
        x: (n, c, h, w).
        padding: Zeros around the image, in pixels.
        gain: Factor; 4 after zeros were put between the pixels.
    """
    return F.conv2d(x, gain * _kernel(x), padding=padding, groups=x.shape[1])


def _kernel(x: Tensor) -> Tensor:
    """The outer product of the filter with itself, of sum 1, for each channel of x: (c, 1, 4, 4)."""
    i = torch.arange(4, dtype=x.dtype, device=x.device)  # made there: a copy to a GPU would be waited for
    taps = (1 + i * (3 - i)) / 8
    return torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4)
