"""The metrics of pixels from their formulas, in NumPy and SciPy."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve, gaussian_filter

Array = NDArray[np.float64]

KERNEL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])[None, None] / 256


def window(size: int) -> Array:
    """2-D Gaussian with a standard deviation of 1.5 pixels for 11 pixels, scaled with the window."""
    axis = np.arange(size) - (size - 1) / 2
    x, y = np.meshgrid(axis, axis)
    weights = np.exp(-(x**2 + y**2) / (2 * (1.5 * size / 11) ** 2))
    return weights / weights.sum()


def ms_ssim(a: Array, b: Array) -> float:
    """MS-SSIM of two images (C, H, W) of 0 to 255, term by term, with variances as means of squared deviations."""
    exponents, value = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333), 1.0
    for scale, exponent in enumerate(exponents):
        weights = window(min(11, *a.shape[1:]))
        size = len(weights)
        windows = [np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(1, 2)) for image in (a, b)]
        means = [(part * weights).sum((3, 4)) for part in windows]
        centered = [part - mean[..., None, None] for part, mean in zip(windows, means, strict=True)]
        variances = [(weights * part**2).sum((3, 4)) for part in centered]
        covariance = (weights * centered[0] * centered[1]).sum((3, 4))
        contrast = (2 * covariance + 58.5225) / (variances[0] + variances[1] + 58.5225)  # (.03 * 255)^2
        luminance = (2 * means[0] * means[1] + 6.5025) / (means[0] ** 2 + means[1] ** 2 + 6.5025)  # (.01 * 255)^2
        term = (luminance * contrast).mean() if scale == 4 else contrast.mean()
        value *= max(term, 0.0) ** exponent
        a, b = (
            ((i[:, ::2, ::2] + i[:, 1::2, ::2] + i[:, ::2, 1::2] + i[:, 1::2, 1::2]) / 4 for i in (a, b))
            if scale < 4
            else (a, b)
        )
    return value


def ssim(a: Array, b: Array) -> float:
    """Of two gray images in [0, 1], with variances as means of squares; SciPy's `mirror` repeats no border pixel."""

    def mean(x: Array) -> Array:
        return gaussian_filter(x, 1.5, mode="mirror", truncate=3.5)

    variances = mean(a * a) - mean(a) ** 2 + mean(b * b) - mean(b) ** 2
    covariance = mean(a * b) - mean(a) * mean(b)
    luminance = (2 * mean(a) * mean(b) + 0.01**2) / (mean(a) ** 2 + mean(b) ** 2 + 0.01**2)
    return float((luminance * (2 * covariance + 0.03**2) / (variances + 0.03**2)).mean())


def psnr(a: Array, b: Array) -> float:
    """In dB, of images in [0, 1]."""
    return float(-10 * np.log10(np.mean((a - b) ** 2)))


def laplacian_pyramid(pixels: Array, levels: int) -> list[Array]:
    """Of images (n, C, H, W), the finest level first (Burt & Adelson, 1983)."""
    pyramid = []
    for _ in range(levels - 1):
        coarser = convolve(pixels, KERNEL, mode="mirror")[:, :, ::2, ::2]
        with_zeros = np.zeros_like(pixels)
        with_zeros[:, :, ::2, ::2] = coarser
        pyramid.append(pixels - convolve(with_zeros, 4 * KERNEL, mode="mirror"))
        pixels = coarser
    return [*pyramid, pixels]


def patches(level: Array) -> Array:
    """All 7x7 patches of images (n, C, H, W) as rows, each channel with mean 0 and variance 1 over the set."""
    windows = np.lib.stride_tricks.sliding_window_view(level, (7, 7), axis=(2, 3))  # (n, C, H - 6, W - 6, 7, 7)
    rows = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, level.shape[1], 7, 7)
    rows = (rows - rows.mean((0, 2, 3), keepdims=True)) / rows.std((0, 2, 3), keepdims=True)
    return rows.reshape(len(rows), -1)
