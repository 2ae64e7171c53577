"""Scaling and horizontal flip of image batches, on the device of the batch."""

import torch
from torch import Tensor


def to_unit_range(images: Tensor) -> Tensor:
    """Convert uint8 0..255 to float32 in [-1, 1], of the same shape."""
    return images.to(torch.float32).div_(127.5).sub_(1)


def flip_coin(index: Tensor, key: int) -> Tensor:
    """One fair coin per image, a function of the image's position and the key; see `_hashed`.

    Args:
        index: Position in the data set, int64 (n,).
        key: Key of the hash, for instance `mix(seed, epoch)`.

    Returns:
        Booleans (n,).
    """
    return _hashed(index, key) < 0  # the highest bit


def flip_where(images: Tensor, coin: Tensor) -> Tensor:
    """Mirror the images (n, C, H, W) horizontally where the coin (n,) is true."""
    return torch.where(coin[:, None, None, None], images.flip(-1), images)


def random_offsets(index: Tensor, key: int, count: int) -> Tensor:
    """One number in 0..count-1 per image, int64 (n,), as a function of the image's position (n,) and the key."""
    return _shift_right(_hashed(index, key), 33) % count


def crop_at(images: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    """Squares of size x size pixels of the images (n, C, H, W), each at its own offsets (n,)."""
    span = torch.arange(size, device=images.device)
    rows, columns = (top[:, None] + span)[:, :, None], (left[:, None] + span)[:, None, :]
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return images[batch, :, rows, columns].permute(0, 3, 1, 2).contiguous()


def _hashed(index: Tensor, key: int) -> Tensor:
    """64 random bits per image, int64 (n,): a hash of the image's position and the key, without a random state.

    The hash is the splitmix64 finalizer of `gan_lab.noise.mix`, in wrapping int64 arithmetic. So it does not depend on
    the batch, the process or the device.
    """
    state = index * _signed(0x9E3779B97F4A7C15) + _signed(key)
    state = (state ^ _shift_right(state, 30)) * _signed(0xBF58476D1CE4E5B9)
    state = (state ^ _shift_right(state, 27)) * _signed(0x94D049BB133111EB)
    return state ^ _shift_right(state, 31)


def _shift_right(state: Tensor, bits: int) -> Tensor:
    """Logical shift of int64; torch's own shift copies the sign."""
    return (state >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    """The int64 with the same 64 bits."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
