"""Protection of StyleGAN2's layers against overflow in float16, whose largest number is 65504."""

import torch
from torch import Tensor

CLAMP = 256.0
"""Largest absolute value of an activation in float16 (Karras et al., 2020b, code)."""


def in_float16(x: Tensor) -> bool:
    """Whether convolutions of x are computed in float16: by autocast, or because x is."""
    device = x.device.type
    if x.is_meta or not torch.is_autocast_enabled(device):
        return x.dtype == torch.float16
    return torch.get_autocast_dtype(device) == torch.float16


def clamp_in_float16(x: Tensor) -> Tensor:
    """x, in float16 clamped to [-256, 256]; in float32 and bfloat16 unchanged."""
    return x.clamp(-CLAMP, CLAMP) if in_float16(x) else x
