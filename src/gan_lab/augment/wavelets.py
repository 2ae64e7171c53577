"""Filters of ADA as matrices: symlets, doubling and halving of the resolution, frequency bands.

A matrix multiplies an axis of an image, and its border is that of `functional`: mirrored endlessly, with the outermost
pixel repeated. Products of matrices are the fastest form at the resolutions of small sets, and differentiable to any
order. Matrices are computed in float64, once for each resolution.
"""

from functools import cache
from itertools import product
from math import comb

import numpy as np
import torch
from torch import Tensor

BANDS = 4
"""Frequency bands of `bands`."""


@cache
def symlet(moments: int) -> tuple[float, ...]:
    """Low-pass filter of the most symmetric orthogonal wavelet with `moments` vanishing moments, of sum 1.

    Daubechies (1992), Ten Lectures on Wavelets, sections 6.1 and 8.1: the filter's polynomial has the factor (1 +
    z)^moments and one root of each pair (z, 1/z) of a polynomial known in closed form. The choice of roots with the
    largest inner product of the filter with its reversal is the most symmetric one.

    Returns:
        The 2 `moments` taps.
    """
    in_y = np.roots([comb(moments - 1 + k, k) for k in reversed(range(moments))])  # y = (2 - z - 1/z) / 4
    half = 1 - 2 * in_y[in_y.imag > -1e-9].astype(complex)  # (z + 1/z) / 2; a conjugate follows its root
    roots = half + np.sqrt(half**2 - 1)
    filters = []
    for signs in product((1, -1), repeat=len(roots)):
        chosen = roots ** np.array(signs)
        conjugates = chosen.conj()[np.abs(chosen.imag) > 1e-9]
        taps = np.poly([-1] * moments + [*chosen, *conjugates]).real
        filters.append(taps / taps.sum())
    return tuple(max(filters, key=lambda taps: (round(taps @ taps[::-1], 9), taps[0])).tolist())


@cache
def doubling(resolution: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Matrix (4 `resolution` + 1, `resolution`): the endlessly mirrored signal at twice the resolution.

    Zeros between the pixels, then the sym6 low-pass with gain 2. Pixel k is around position 2 k + `delay`. The result
    has one period, and its first element again at the end.
    """
    period = 2 * resolution
    matrix = torch.zeros(2 * period + 1, resolution, dtype=torch.float64)
    for source in range(period):
        for k, tap in enumerate(symlet(6)):
            matrix[(2 * source + k - 5) % (2 * period), min(source, period - 1 - source)] += 2 * tap
    matrix[-1] = matrix[0]
    return matrix.to(device, dtype)


@cache
def halving(resolution: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Matrix (`resolution`, 2 `resolution` + 10): the transpose of the doubling, with gain 1.

    The first of its inputs is at position -5, the last at 2 `resolution` + 4. Because the wavelet is orthogonal, the
    product with the doubling is the identity.
    """
    matrix = torch.zeros(resolution, 2 * resolution + 10, dtype=torch.float64)
    for row in range(resolution):
        matrix[row, 2 * row : 2 * row + 12] = torch.tensor(symlet(6), dtype=torch.float64)
    return matrix.to(device, dtype)


@cache
def delay() -> float:
    """Position of pixel 0 at twice the resolution: the mean position of the taps, so that images do not shift."""
    return sum(k * tap for k, tap in enumerate(symlet(6))) - 5


@cache
def band_taps() -> np.ndarray:
    """Filters (4, 43) of the frequency bands, from the lowest; their sum is a unit impulse.

    Karras et al. (2020b), section B: bands of one octave, except the lowest. The low-pass is half of sym2's filter
    convolved with its reversal, [-1, 0, 9, 16, 9, 0, -1] / 32, and the high-pass is the impulse minus it.
    """
    low = np.convolve(symlet(2), symlet(2)[::-1])
    high = -low
    high[3] += 1
    filters = np.zeros((BANDS, 1))
    filters[0] = 1
    for band in range(1, BANDS):
        stretched = np.zeros((BANDS, 2 * filters.shape[1] - 1))
        stretched[:, ::2] = filters
        filters = np.stack([np.convolve(row, low) for row in stretched])
        middle = filters.shape[1] // 2
        filters[band, middle - 3 : middle + 4] += high
    return filters


@cache
def bands(resolution: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Matrices (4, `resolution`, `resolution`) of the filters of `band_taps`; their sum is the identity."""
    taps = band_taps()
    matrices = torch.zeros(BANDS, resolution, resolution, dtype=torch.float64)
    for row in range(resolution):
        for k in range(taps.shape[1]):
            source = (row + k - taps.shape[1] // 2) % (2 * resolution)
            matrices[:, row, min(source, 2 * resolution - 1 - source)] += torch.from_numpy(taps[:, k])
    return matrices.to(device, dtype)
