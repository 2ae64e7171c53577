"""Memory format of weights."""

import torch
from torch import nn


def use_channels_last(module: nn.Module) -> None:
    """Store the convolution weights of `module` in channels-last format, in place; values do not change.

    Convolutions then compute in this format regardless of the format of their input, which is several times faster on
    CPUs, and on GPUs in half precision.
    """
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in PyTorch's annotations
