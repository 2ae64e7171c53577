"""Digits with near-duplicates of some of them behind."""

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_lab.data.cache import decode_all
from gan_lab.data.decode import Decoder
from gan_lab.data.digits import read_digits
from gan_lab.data.pixels import to_unit_range

DIGITS, COPIES = 600, 10
KINDS = {"exact": 0, "shifted": 1, "noisy": 2}
"""The kind of copy to its place: COPIES of the first COPIES digits, of the next ones, and so on."""


def planted(side: int) -> Tensor:
    """600 digits in [-1, 1], (630, 1, side, side), and behind them copies: exact, one pixel to the right, with noise."""
    digits = decode_all(read_digits().at(torch.arange(DIGITS)), Decoder(1, side, "stretch", 0)).images
    exact, shifted, noisy = digits[: 3 * COPIES].clone().split(COPIES)
    shifted = F.pad(shifted, [1, 0, 0, 0])[..., :side]
    noise = 8 * torch.randn(noisy.shape, generator=torch.Generator().manual_seed(0))
    noisy = (noisy + noise).round().clamp(0, 255).to(torch.uint8)
    return to_unit_range(torch.cat([digits, exact, shifted, noisy]))


def copies(kind: str) -> dict[int, int]:
    """Position of every copy of a kind, to the digit that it is a copy of."""
    first = KINDS[kind] * COPIES
    return {DIGITS + position: position for position in range(first, first + COPIES)}
