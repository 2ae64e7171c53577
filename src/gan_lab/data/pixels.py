"""Scaling and horizontal flip of image batches, on the device of the batch."""

import torch
from torch import Tensor


def to_unit_range(images: Tensor) -> Tensor:
    """Convert uint8 0..255 to float32 in [-1, 1], of the same shape."""
    return images.to(torch.float32).div_(127.5).sub_(1)


def flip_coin(index: Tensor, key: int) -> Tensor:
    """One fair coin per image: a hash of the image's position and the key, without a random state.

    The hash is the splitmix64 finalizer of `gan_lab.noise.mix`, in wrapping int64 arithmetic. So the coin does not
    depend on the batch, the process or the device.

    Args:
        index: Position in the data set, int64 (n,).
        key: Key of the hash, for instance `mix(seed, epoch)`.

    Returns:
        Booleans (n,).
    """
    state = index * _signed(0x9E3779B97F4A7C15) + _signed(key)
    state = (state ^ _shift_right(state, 30)) * _signed(0xBF58476D1CE4E5B9)
    state = (state ^ _shift_right(state, 27)) * _signed(0x94D049BB133111EB)
    return (state ^ _shift_right(state, 31)) < 0  # the highest bit


def flip_where(images: Tensor, coin: Tensor) -> Tensor:
    """Mirror the images (n, C, H, W) horizontally where the coin (n,) is true."""
    return torch.where(coin[:, None, None, None], images.flip(-1), images)


def _shift_right(state: Tensor, bits: int) -> Tensor:
    """Logical shift of int64; torch's own shift copies the sign."""
    return (state >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    """The int64 with the same 64 bits."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
