"""Distances of translated images from their targets: L1, PSNR, SSIM, and distances of features."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.functional.image import structural_similarity_index_measure

from gan_lab.metrics.features import ExtractorMetric, Protocol
from gan_lab.metrics.pixels import quantized

EXACT_PSNR = 100.0
"""PSNR in dB that counts for an image that equals its target, which has an infinite one."""

SSIM_WINDOW = 11  # pixels


def psnr(images: Tensor, targets: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of pairs of images (n, ...) in [0, 1]; float64 (n,), at most `EXACT_PSNR`."""
    errors = (images.double() - targets.double()).square().flatten(1).mean(1)
    return (-10 * errors.log10()).clamp(max=EXACT_PSNR)


def ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Structural similarity (Wang et al., 2004) of each pair of images (n, C, H, W) in [0, 1]; float64 (n,).

    Gaussian windows of 11 pixels with a standard deviation of 1.5, in each channel; at the border they see mirrored
    pixels.

    Raises:
        ValueError: Height or width is below 6 pixels, which cannot be mirrored.
    """
    if min(images.shape[-2:]) <= SSIM_WINDOW // 2:
        raise ValueError(f"SSIM needs images of at least {SSIM_WINDOW // 2 + 1} pixels; these are {images.shape[-1]}")
    found = structural_similarity_index_measure(images.double(), targets.double(), data_range=1.0, reduction="none")
    assert isinstance(found, Tensor)
    return found.view(len(images))


class _PairMetric(Metric):
    """Base of metrics that are means over pairs of a generated image and its target."""

    needs_targets: ClassVar[bool] = True
    """`update` needs the targets of the images."""

    names: ClassVar[tuple[str, ...]]
    """Names of the values."""

    totals: Tensor
    pairs: Tensor

    def _add_states(self) -> None:
        self.add_state("totals", torch.zeros(len(self.names), dtype=torch.float64), "sum")
        self.add_state("pairs", torch.zeros((), dtype=torch.int64), "sum")

    def _add(self, *values: Tensor) -> None:
        """Add values (n,) of the pairs, in the order of `names`."""
        self.totals += torch.stack([value.sum() for value in values]).to(self.totals)
        self.pairs += len(values[0])

    def compute(self) -> dict[str, Tensor]:
        """The mean of each value over all pairs, float64 scalars; NaN without pairs."""
        return dict(zip(self.names, self.totals / self.pairs, strict=True))


class PixelDistances(_PairMetric):
    """L1, PSNR and SSIM of generated images and their targets, means over the pairs.

    `l1` is the mean absolute difference on the scale [0, 1], half of that on the scale [-1, 1] which the networks use;
    `psnr` is in dB with the peak 1, at most `EXACT_PSNR` for an image; `ssim` is at most 1, for equal images. Images
    are quantized to 0..255 first, as in files. All three prefer blurred images to sharp ones that are off by a pixel:
    a network trained with the L1 loss alone has the best values. Read them beside a distance of features.
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = True
    lower_is_better: ClassVar[tuple[str, ...]] = ("l1",)
    names = ("l1", "psnr", "ssim")

    def __init__(self) -> None:
        super().__init__()
        self._add_states()

    def update(self, images: Tensor, targets: Tensor) -> None:
        """Compare images (n, C, H, W) in [-1, 1] with their targets of the same shape.

        Raises:
            ValueError: The samples are not images of the shape of their targets, or too small for SSIM.
        """
        _check(images, targets)
        if images.dim() != 4:
            raise ValueError(f"L1, PSNR and SSIM compare images; these samples have the shape {tuple(images.shape)}")
        a, b = (quantized(each).double() / 255 for each in (images, targets))
        self._add((a - b).abs().flatten(1).mean(1), psnr(a, b), ssim(a, b))

    def ideal_values(self) -> dict[str, Tensor]:
        """The values of images that equal their targets."""
        return dict(zip(self.names, torch.tensor([0.0, EXACT_PSNR, 1.0]), strict=True))

    @property
    def protocol(self) -> Protocol:
        """Settings that the values depend on, to be reported with them."""
        return {"pixels": "quantized to uint8; 0 to 1", "ssim_window": SSIM_WINDOW}


class FeatureDistances(ExtractorMetric, _PairMetric):
    """Distances of the features of generated images and of their targets, means over the pairs; lower is better.

    `cosine` is 1 - cos of the angle between the two feature vectors, in [0, 2]; `squared` the mean squared difference
    of their entries. It is not LPIPS (Zhang et al., 2018), whose features have a position and whose weights were
    fitted to human ratings; the purpose is the same.

    Args:
        extractor: Images (n, ...) to features (n, d); None if the images are features already.
    """

    higher_is_better = False
    names = ("cosine", "squared")

    def __init__(self, extractor: nn.Module | None = None) -> None:
        super().__init__(extractor)
        self._add_states()

    def update(self, images: Tensor, targets: Tensor) -> None:
        """Compare images, input of the extractor (n, ...), with their targets of the same shape.

        Raises:
            ValueError: The shapes differ, or the features have the wrong shape or are not finite.
        """
        _check(images, targets)
        a, b = self._finite_features(images, "generated"), self._finite_features(targets, "real")
        self._add(1 - F.cosine_similarity(a, b), (a - b).square().mean(1))

    def ideal_values(self) -> dict[str, Tensor]:
        """0: the values of images that equal their targets."""
        return dict(zip(self.names, torch.zeros(len(self.names)), strict=True))

    @property
    def protocol(self) -> Protocol:
        """Settings that the values depend on, to be reported with them."""
        return self.extractor_protocol()


def _check(images: Tensor, targets: Tensor) -> None:
    if images.shape != targets.shape:
        raise ValueError(
            f"An image and its target must have one shape, but these have {tuple(images.shape[1:])} and "
            f"{tuple(targets.shape[1:])}"
        )
