"""Digits, followed by near-duplicates of some of them."""

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_lab.data.cache import decode_all
from gan_lab.data.decode import Decoder
from gan_lab.data.digits import read_digits
from gan_lab.data.pixels import to_unit_range

DIGITS, COPIES = 600, 10
KINDS = {"exact": 0, "shifted": 1, "noisy": 2}
"""From the kind of copy to its index: the first kind copies the first COPIES digits, the second the next, and so on."""


def planted(resolution: int) -> Tensor:
    """600 digits in [-1, 1] and 30 copies, (630, 1, resolution, resolution): exact, shifted by one pixel, noisy."""
    digits = decode_all(read_digits().at(torch.arange(DIGITS)), Decoder(1, resolution, "stretch", 0)).images
    exact, shifted, noisy = digits[: 3 * COPIES].clone().split(COPIES)
    shifted = F.pad(shifted, [1, 0, 0, 0])[..., :resolution]
    noise = 8 * torch.randn(noisy.shape, generator=torch.Generator().manual_seed(0))
    noisy = (noisy + noise).round().clamp(0, 255).to(torch.uint8)
    return to_unit_range(torch.cat([digits, exact, shifted, noisy]))


def copies(kind: str) -> dict[int, int]:
    """From the position of every copy of a kind to that of the copied digit."""
    first = KINDS[kind] * COPIES
    return {DIGITS + position: position for position in range(first, first + COPIES)}
