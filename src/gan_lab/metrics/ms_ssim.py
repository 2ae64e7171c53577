"""MS-SSIM of pairs of generated images, a measure of diversity."""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric

from gan_lab.metrics.pixels import filtered, quantized

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, the finest first (Wang et al., 2003)."""

STEP = 2 ** (len(WEIGHTS) - 1)
"""Height and width of images are multiples of this, so that each scale has half the resolution of the one before."""

REAL_IMAGES, REAL_BYTES = 2000, 1 << 28
"""Largest number of real images that are kept to compare with, and of their bytes."""

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


def pairs_within(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of consecutive images with the same label.

    Args:
        labels: int64 (n,).

    Returns:
        Positions of the first and of the second image of each pair, and of the images without a partner.
    """
    order = labels.argsort(stable=True)
    ordered = labels[order]
    place = torch.arange(len(labels), device=labels.device) - torch.searchsorted(ordered, ordered)  # in its class
    second = (place % 2 == 1).nonzero().flatten()
    alone = torch.ones_like(labels, dtype=torch.bool)
    alone[second] = alone[second - 1] = False
    return order[second - 1], order[second], order[alone]


class MSSSIM(Metric):
    """Mean MS-SSIM of pairs of generated images; lower is more diverse (Odena et al., 2017; Karras et al., 2018).

    The first image is compared with the second, the third with the fourth, and so on, across batches; samples from
    independent latents are thus paired at random. With labels there is a second value, `in_class`, of pairs of one
    class (Odena et al., 2017). The papers use 10,000 pairs. The values to compare with are those of real images, in
    `ideal_values`: pure noise has even lower ones. They are measured on a random subset of at most `REAL_IMAGES` real
    images. Each process pairs its own images. Images are quantized to 0..255 first. See `ms_ssim`.
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = False
    takes_labels: ClassVar[bool] = True
    real_is_optional: ClassVar[bool] = True
    """Without real images there are no values to compare with."""
    totals: Tensor
    pairs: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Of all pairs, and of those within classes.
        self.add_state("totals", torch.zeros(2, dtype=torch.float64), "sum")
        self.add_state("pairs", torch.zeros(2, dtype=torch.int64), "sum")
        self._waiting: list[tuple[Tensor, Tensor] | None] = [None, None]  # images without a partner, and their labels
        self._has_labels = False
        self._real = _Subset()

    def update(self, images: Tensor, real: bool = False, labels: Tensor | None = None) -> None:
        """Compare images (n, C, H, W) in [-1, 1] with labels, int64 (n,), if they have any.

        Raises:
            ValueError: H or W is not a multiple of 16.
        """
        _check(images)
        images = quantized(images)
        if labels is not None and (labels.dim() != 1 or labels.is_floating_point()):
            labels = None  # codes
        if real:
            self._real.add(images, labels)
            return
        self._has_labels = labels is not None
        self._compare(0, images, torch.zeros(len(images), dtype=torch.int64))
        if labels is not None:
            self._compare(1, images, labels.cpu())

    def _compare(self, which: int, images: Tensor, labels: Tensor) -> None:
        """Compare pairs of these and of the waiting images; those without a partner wait."""
        if (waiting := self._waiting[which]) is not None:
            images, labels = torch.cat([waiting[0].to(images.device), images]), torch.cat([waiting[1], labels])
        first, second, alone = pairs_within(labels)
        self._waiting[which] = images[alone.to(images.device)], labels[alone]
        self.totals[which] += _sum(images, first, second, images.device)
        self.pairs[which] += len(first)

    def compute(self) -> Tensor | dict[str, Tensor]:
        """Mean over the pairs, float64 scalar; NaN without pairs. With labels also `in_class`, of pairs of a class."""
        overall, in_class = self.totals / self.pairs
        return {"": overall, "in_class": in_class} if self._has_labels else overall

    def ideal_values(self) -> dict[str, Tensor]:
        """The same values of real images, float64 scalars; without labels of theirs only the first."""
        found = {"": self._real.mean(False, self.device), "in_class": self._real.mean(True, self.device)}
        return {key: torch.tensor(value, dtype=torch.float64) for key, value in found.items() if value is not None}

    def real_state(self) -> dict[str, Tensor]:
        """The real images that are kept, uint8 (n, C, H, W) on the CPU."""
        return {"images": self._real.images}

    def reset(self) -> None:
        """Reset the state."""
        self.reset_generated()
        self._real = _Subset()

    def reset_generated(self) -> None:
        """Remove the generated images and keep the real ones."""
        super().reset()
        self._waiting = [None, None]

    @property
    def protocol(self) -> dict[str, float]:
        """Settings that the values depend on, to be reported with them."""
        entries: dict[str, float] = {"pairs": int(self.pairs[0])}
        return entries | {"real_subset": len(self._real.images)} if len(self._real.images) else entries


class _Subset:
    """Random subset of real images that come in any order, in random order, with their mean MS-SSIM.

    Attributes:
        images: uint8 (n, C, H, W) on the CPU.
        labels: int64 (n,), or None if there are none.
    """

    def __init__(self) -> None:
        self.images = torch.empty(0, dtype=torch.uint8)
        self.labels: Tensor | None = None
        self._keys = torch.empty(0, dtype=torch.float64)  # random numbers: the images with the smallest ones are kept
        self._generator = torch.Generator().manual_seed(0)
        self._means: dict[bool, float | None] = {}  # by whether pairs are of one class

    def add(self, images: Tensor, labels: Tensor | None) -> None:
        """Offer images, uint8 (n, C, H, W), and their labels."""
        new = torch.rand(len(images), generator=self._generator, dtype=torch.float64)
        limit = min(REAL_IMAGES, REAL_BYTES // images[0].numel())
        order = torch.cat([self._keys, new]).argsort()[: max(2, limit)]
        had = len(self._keys)
        self.images = torch.cat([self.images, images.cpu()] if had else [images.cpu()])[order]
        if labels is not None:
            known = labels.cpu().long()
            self.labels = torch.cat([self.labels, known] if self.labels is not None else [known])[order]
        self._keys = torch.cat([self._keys, new])[order]
        self._means = {}

    def mean(self, in_class: bool, device: torch.device) -> float | None:
        """Mean over pairs of these images, computed once; None without pairs, or labels for those of a class."""
        if in_class not in self._means:
            self._means[in_class] = self._mean(in_class, device)
        return self._means[in_class]

    def _mean(self, in_class: bool, device: torch.device) -> float | None:
        labels = self.labels if in_class else torch.zeros(len(self.images), dtype=torch.int64)
        if labels is None:
            return None
        first, second, _ = pairs_within(labels)
        return float(_sum(self.images, first, second, device)) / len(first) if len(first) else None


def _sum(images: Tensor, first: Tensor, second: Tensor, device: torch.device) -> Tensor:
    """Sum over the pairs of images (n, C, H, W) at these positions, computed on the device; float64 scalar."""
    total = torch.zeros((), dtype=torch.float64, device=device)
    for one, other in zip(first.split(_CHUNK), second.split(_CHUNK), strict=True):
        a, b = (images[places.to(images.device)].to(device) for places in (one, other))
        total += ms_ssim(a, b).sum()
    return total
