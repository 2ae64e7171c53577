"""Speed that a device reaches in large convolutions and matrix products, beside which a training step is put."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from gan_lab.benchmark.bare import PRECISIONS, synchronize

CONVOLUTION = (64, 128, 32, 3)
"""Images, channels in and out, pixels and kernel of the convolution: a layer of a 32-pixel ResNet GAN."""

MATRIX = 2048
"""Rows and columns of the matrices."""


@dataclass(frozen=True)
class DeviceSpeed:
    """Floating-point operations per second.

    Attributes:
        convolution: Of a forward 3x3 convolution, in the faster of the two memory formats.
        matmul: Of a product of square matrices.
    """

    convolution: float
    matmul: float

    def lines(self, achieved: float) -> list[str]:
        """Lines of the report: these speeds, and as fractions of them what a training step achieved."""
        parts = {"convolutions": self.convolution, "matrix products": self.matmul}
        speeds = ", ".join(f"{speed / 1e9:.4g} in {name}" for name, speed in parts.items())
        fractions = ", ".join(f"{100 * achieved / speed:.0f} % of its {name}" for name, speed in parts.items())
        return [f"GFLOP/s of this device   {speeds}", f"the step reaches         {fractions}"]


@torch.no_grad()
def device_speed(device: torch.device, precision: str, seconds: float) -> DeviceSpeed:
    """Measure the speeds of a device.

    Args:
        device: The device.
        precision: Precision of the run; the operands have its type.
        seconds: Time for each of the three measurements.
    """
    dtype = PRECISIONS.get(precision) or torch.float32
    images, channels, pixels, kernel = CONVOLUTION
    x = torch.randn(images, channels, pixels, pixels, device=device).to(dtype)
    weight = torch.randn(channels, channels, kernel, kernel, device=device).to(dtype)
    operations = 2 * images * channels**2 * pixels**2 * kernel**2
    convolutions = []
    for layout in (torch.contiguous_format, torch.channels_last):
        convolve = partial(torch.conv2d, x.to(memory_format=layout), weight.to(memory_format=layout), padding=1)
        convolutions.append(_speed(convolve, operations, device, seconds))
    matrix = torch.randn(MATRIX, MATRIX, device=device).to(dtype)
    return DeviceSpeed(max(convolutions), _speed(lambda: matrix @ matrix, 2 * MATRIX**3, device, seconds))


def _speed(compute: Callable[[], Tensor], operations: int, device: torch.device, seconds: float) -> float:
    """Operations per second in the fastest call, after a first one that prepares kernels."""
    compute()
    fastest, end = float("inf"), time.perf_counter() + seconds
    while fastest == float("inf") or time.perf_counter() < end:
        synchronize(device)
        start = time.perf_counter()
        compute()
        synchronize(device)
        fastest = min(fastest, time.perf_counter() - start)
    return operations / fastest
