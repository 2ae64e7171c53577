"""A learned constant in place of an input."""

import torch
from torch import Tensor, nn


class LearnedConstant(nn.Module):
    """Maps that are the same for all samples, with N(0, 1) numbers at the start (Karras et al., 2019, section 2).

    Args:
        channels: Channels of the maps.
        resolution: Their resolution.
    """

    def __init__(self, channels: int, resolution: int = 4) -> None:
        super().__init__()
        self.maps = nn.Parameter(torch.randn(1, channels, resolution, resolution))

    def forward(self, count: int) -> Tensor:
        """The maps for `count` samples, (count, channels, resolution, resolution).

        A count is x.shape[0]: `len(x)` is an int also where a program with a free batch size is traced.
        """
        return self.maps.expand(count, -1, -1, -1)
