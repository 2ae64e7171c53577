"""Diversity of generated images: how alike two of them are on average."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric

from gan_lab.metrics.pixels import filtered, quantized

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, the finest first (Wang et al., 2003)."""

STEP = 2 ** (len(WEIGHTS) - 1)
"""Sides of images are multiples of this, so that each scale has half the side of the one before."""

_WINDOW = 11  # pixels
_STD = 1.5  # pixels, of the Gaussian in a window of that size
_LUMINANCE, _CONTRAST = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # keep the quotients from 0 / 0
_CHUNK = 64  # pairs compared at once


# torchmetrics has the same name for another number: it refuses sides up to 160, where these windows shrink, and mirrors the
# border at the last scale.
def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Multi-scale structural similarity of pairs of images (Wang et al., 2003), as ProGAN measures it (Karras et al., 2018).

    The product of the mean contrast terms of four scales and of the mean SSIM of the fifth, none below 0, each to the power
    of its weight. From one scale to the next, 2x2 pixels become their mean. Windows lie inside the image; where it is
    narrower than 11 pixels, they and the standard deviation of their Gaussian shrink with it.

    Args:
        a: Images (n, C, H, W) from 0 to 255, any dtype; H and W multiples of 16.
        b: Images of the same shape.

    Returns:
        float64 (n,) in [0, 1]; 1 for equal images.

    Raises:
        ValueError: The shapes differ, or a side cannot be halved four times.
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
    """Weights of a window, 1 together."""
    std = _STD * size / _WINDOW
    weights = [math.exp(-(((place - (size - 1) / 2) / std) ** 2) / 2) for place in range(size)]
    return [weight / sum(weights) for weight in weights]


def _check(images: Tensor) -> None:
    if images.dim() != 4 or any(side == 0 or side % STEP for side in images.shape[-2:]):
        raise ValueError(
            f"MS-SSIM halves images (n, C, H, W) four times, so H and W must be multiples of {STEP}; these samples are "
            f"{tuple(images.shape)}."
        )


class MSSSIM(Metric):
    """Mean MS-SSIM of pairs of generated images: the lower, the more they differ (Odena et al., 2017; Karras et al., 2018).

    The first image is compared with the second, the third with the fourth, and so on, whatever the batches; samples of
    independent latents so make random pairs. The papers have 10,000. Read it beside the value of real images: noise differs
    still more. Over several processes each pairs its own images. Images are quantized to 0..255 first. See `ms_ssim`.
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
        self._waiting: Tensor | None = None  # an image whose partner is still to come, uint8 (1, C, H, W)

    def update(self, images: Tensor) -> None:
        """Compare images (n, C, H, W) in [-1, 1].

        Raises:
            ValueError: H or W is no multiple of 16.
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
        """The mean over the pairs, float64 scalar; NaN without a pair."""
        return self.total / self.pairs

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        self._waiting = None

    @property
    def protocol(self) -> dict[str, float]:
        """The numbers on which the value depends beside the images: to be printed with it."""
        return {"pairs": int(self.pairs)}
