"""How weights lie in memory."""

import torch
from torch import nn


def use_channels_last(module: nn.Module) -> None:
    """Store the convolution weights of `module` with the channels innermost, in place; values do not change.

    Convolutions then compute in that layout whatever the layout of their input. It is several times faster on CPUs,
    and on GPUs in half precision.
    """
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in PyTorch's annotations
