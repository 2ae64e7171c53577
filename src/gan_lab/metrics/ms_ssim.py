"""MS-SSIM of pairs of generated images, a measure of diversity."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric

from gan_lab.metrics.pixels import filtered, quantized

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, the finest first (Wang et al., 2003)."""

STEP = 2 ** (len(WEIGHTS) - 1)
"""Height and width of images are multiples of this, so that each scale has half the resolution of the one before."""

_WINDOW = 11  # pixels
_STD = 1.5  # pixels, of the Gaussian in a window of that size
_LUMINANCE, _CONTRAST = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # avoid 0 / 0 in the quotients
_CHUNK = 64  # pairs compared at once


# torchmetrics' function of this name gives other values: it rejects images up to 160 pixels, where these windows
# shrink, and mirrors the border at the last scale.
def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Multi-scale structural similarity of pairs of images (Wang et al., 2003), as in ProGAN (Karras et al., 2018).

    The product of the mean contrast terms of four scales and the mean SSIM of the fifth, each clamped at 0 and raised
    to the power of its weight. Each scale averages 2x2 pixels of the one before. Windows lie inside the image; if it is
    narrower than 11 pixels, the windows and the standard deviation of their Gaussian shrink with it.

    Args:
        a: Images (n, C, H, W) from 0 to 255, any dtype; H and W multiples of 16.
        b: Images of the same shape.

    Returns:
        float64 (n,) in [0, 1]; 1 for equal images.

    Raises:
        ValueError: The shapes differ, or height or width cannot be halved four times.
    """
    if a.shape != b.shape:
        raise ValueError(f"MS-SSIM compares images of one shape, but these are {tuple(a.shape)} and {tuple(b.shape)}.")
    _check(a)
    a, b = a.double(), b.double()
    terms = []
    for scale in range(len(WEIGHTS)):
        if scale > 0:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        similarity, contrast = _similarity(a, b)
        terms.append(contrast)
    terms[-1] = similarity
    weights = torch.tensor(WEIGHTS, dtype=torch.float64, device=a.device)
    return torch.stack(terms, dim=1).clamp(min=0).pow(weights).prod(1)


def _similarity(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Mean SSIM and mean contrast term of pairs at one scale, (n,) each."""
    window = _gaussian(min(_WINDOW, *a.shape[-2:]))
    mean_a, mean_b, square_a, square_b, product = filtered(torch.cat([a, b, a * a, b * b, a * b]), window).chunk(5)
    variances = square_a - mean_a.square() + square_b - mean_b.square()
    covariance = product - mean_a * mean_b
    contrast = (2 * covariance + _CONTRAST) / (variances + _CONTRAST)
    luminance = (2 * mean_a * mean_b + _LUMINANCE) / (mean_a.square() + mean_b.square() + _LUMINANCE)
    return (luminance * contrast).mean((1, 2, 3)), contrast.mean((1, 2, 3))


def _gaussian(size: int) -> list[float]:
    """Gaussian weights of a window, with sum 1."""
    std = _STD * size / _WINDOW
    weights = [math.exp(-(((place - (size - 1) / 2) / std) ** 2) / 2) for place in range(size)]
    return [weight / sum(weights) for weight in weights]


def _check(images: Tensor) -> None:
    if images.dim() != 4 or any(size == 0 or size % STEP for size in images.shape[-2:]):
        raise ValueError(
            f"MS-SSIM halves images (n, C, H, W) four times, so H and W must be multiples of {STEP}; these samples are "
            f"{tuple(images.shape)}."
        )


class MSSSIM(Metric):
    """Mean MS-SSIM of pairs of generated images; lower is more diverse (Odena et al., 2017; Karras et al., 2018).

    The first image is compared with the second, the third with the fourth, and so on, across batches; samples from
    independent latents are thus paired at random. The papers use 10,000 pairs. Compare with the value of real images:
    pure noise has an even lower value. Each process pairs its own images. Images are quantized to 0..255 first. See
    `ms_ssim`.
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = False
    total: Tensor
    pairs: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), "sum")
        self.add_state("pairs", torch.tensor(0), "sum")
        self._waiting: Tensor | None = None  # an image without a partner so far, uint8 (1, C, H, W)

    def update(self, images: Tensor) -> None:
        """Compare images (n, C, H, W) in [-1, 1].

        Raises:
            ValueError: H or W is not a multiple of 16.
        """
        _check(images)
        images = quantized(images)
        if self._waiting is not None:
            images = torch.cat([self._waiting.to(images.device), images])
        pairs = len(images) // 2
        self._waiting = images[2 * pairs :].clone() if len(images) % 2 else None
        for a, b in zip(images[: 2 * pairs : 2].split(_CHUNK), images[1 : 2 * pairs : 2].split(_CHUNK), strict=True):
            self.total += ms_ssim(a, b).sum()
        self.pairs += pairs

    def compute(self) -> Tensor:
        """Mean over the pairs, float64 scalar; NaN without pairs."""
        return self.total / self.pairs

    def reset(self) -> None:
        """Reset the state."""
        super().reset()
        self._waiting = None

    @property
    def protocol(self) -> dict[str, float]:
        """Settings that the value depends on, to be reported with it."""
        return {"pairs": int(self.pairs)}
