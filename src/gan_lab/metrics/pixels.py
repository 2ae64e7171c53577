"""Pixel operations of image metrics: quantization and separable filters."""

import torch
from torch import Tensor


def quantized(images: Tensor) -> Tensor:
    """Quantize images in [-1, 1], any float dtype, to uint8 0..255 as in image files; values outside are clamped.

    Real images get their original pixel values back; generated images lose the precision that a file could not store.

    Raises:
        ValueError: The images have an integer dtype.
    """
    if not images.is_floating_point():
        raise ValueError(f"Images must be floats in [-1, 1]; these are {images.dtype}.")
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def filtered(images: Tensor, weights: list[float]) -> Tensor:
    """Filter images with outer(weights, weights), without padding.

    It sums shifted images, since a convolution on a GPU may be computed in reduced precision (TF32).

    Args:
        images: (n, C, H, W), any float dtype.
        weights: Weights along one axis, at most H and W of them.

    Returns:
        (n, C, H - k + 1, W - k + 1) for k weights.
    """
    for axis in (2, 3):
        size = images.shape[axis] - len(weights) + 1
        total = torch.zeros_like(images.narrow(axis, 0, size))
        for shift, weight in enumerate(weights):
            total.add_(images.narrow(axis, shift, size), alpha=weight)
        images = total
    return images
