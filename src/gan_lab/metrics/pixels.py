"""What the metrics that look at pixels share."""

import torch
from torch import Tensor


def quantized(images: Tensor) -> Tensor:
    """Images in [-1, 1], any float dtype, to uint8 0..255 on their device, as files have them; values outside are clamped.

    The pixels of real images come back as they were, and generated ones lose what no file could keep.

    Raises:
        ValueError: The images are whole numbers, which have another range.
    """
    if not images.is_floating_point():
        raise ValueError(f"Images are floats in [-1, 1] here; these are {images.dtype}.")
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def filtered(images: Tensor, weights: list[float]) -> Tensor:
    """Weighted means over windows outer(weights, weights), wherever one fits into the image.

    Sums of shifted images: a convolution could be rounded to half of the digits on a GPU.

    Args:
        images: (n, C, H, W), any float dtype.
        weights: As many as a window is wide, at most H and W.

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
