"""Progressively growing networks: their common state, and fades of images (Karras et al., 2018, section 2)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.types import Stage

SMALLEST = 4
"""Resolution at which growing begins."""


class Growing(nn.Module):
    """A network that works at one of several resolutions: 4x4, 8x8, ..., up to its full one.

    Only `grow` sets the stage. A new network is at its full resolution. The stage is in the state dict, so loaded and
    copied networks keep it.

    Args:
        resolution: Full resolution of the images, a power of two, at least 4.
    """

    stage: Stage

    def __init__(self, resolution: int) -> None:
        super().__init__()
        self.resolutions = [SMALLEST * 2**k for k in range((resolution // SMALLEST).bit_length())]
        self.stage = Stage(resolution)

    @property
    def level(self) -> int:
        """Number of doublings from 4x4 to the current resolution."""
        return self.resolutions.index(self.stage.resolution)

    def grow(self, stage: Stage) -> None:
        """Work at this stage from now on.

        Raises:
            ValueError: The network has no such resolution, or alpha is not in [0, 1], or alpha is below 1 at 4x4.
        """
        if stage.resolution not in self.resolutions:
            raise ValueError(f"resolution {stage.resolution} is not one of the network's: {self.resolutions}")
        if not 0 <= stage.alpha <= 1 or (stage.alpha < 1 and stage.resolution == SMALLEST):
            raise ValueError(f"alpha={stage.alpha} at {stage.resolution} pixels must be in [0, 1], and 1 at 4 pixels")
        self.stage = stage

    def get_extra_state(self) -> Tensor:
        """Resolution and alpha; a tensor, as exporters expect of every value of a state dict. float64 is exact."""
        return torch.tensor([self.stage.resolution, self.stage.alpha], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        resolution, alpha = state.tolist()
        self.grow(Stage(int(resolution), alpha))


def growing_networks(network: nn.Module) -> list[Growing]:
    """All growing networks among a network and its submodules, for instance inside a wrapper."""
    return [module for module in network.modules() if isinstance(module, Growing)]


def lower_resolutions(network: nn.Module) -> list[int]:
    """Resolutions that all growing networks have left behind, from 4 on; none if nothing grows."""
    networks = growing_networks(network)
    smallest = min((part.stage.resolution for part in networks), default=0)
    return [resolution for resolution in (networks[0].resolutions if networks else []) if resolution < smallest]


@contextmanager
def shrunk_to(network: nn.Module, resolution: int | None) -> Iterator[None]:
    """Let growing networks work at a lower resolution inside the `with` block; None for that of their stage."""
    stages = [(part, part.stage) for part in growing_networks(network)]
    try:
        for part, stage in stages:
            part.grow(stage if resolution is None else Stage(resolution))
        yield
    finally:
        for part, stage in stages:
            part.grow(stage)


def fade(old: Tensor, new: Tensor, alpha: float) -> Tensor:
    """(1 - alpha) old + alpha new; for finite inputs exactly `old` at alpha 0 and exactly `new` at alpha 1."""
    return torch.lerp(old, new, alpha)


def upsample_2x(x: Tensor) -> Tensor:
    """Nearest-neighbor upsampling of (n, c, h, w) to (n, c, 2 h, 2 w)."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def downsample_2x(x: Tensor) -> Tensor:
    """Average pooling of (n, c, h, w) to (n, c, h / 2, w / 2)."""
    return F.avg_pool2d(x, 2)


def at_stage(images: Tensor, stage: Stage) -> Tensor:
    """Real images at a stage: pooled to its resolution and, during a fade-in, blurred like the generator's images.

    x becomes (1 - alpha) upsample_2x(downsample_2x(x)) + alpha x (Karras et al., 2018, Fig. 2, and the authors' code).
    Otherwise details that the generator cannot produce yet would identify real images.

    Args:
        images: (n, C, R, R) in [-1, 1], R a power of two, at least the stage's resolution.
        stage: Current stage of the networks.

    Returns:
        (n, C, r, r) in [-1, 1] for the stage's resolution r.
    """
    small = F.avg_pool2d(images, images.shape[-1] // stage.resolution)  # (n, C, r, r)
    return small if stage.alpha == 1 else fade(upsample_2x(downsample_2x(small)), small, stage.alpha)


def enlarge(images: Tensor, resolution: int) -> Tensor:
    """Nearest-neighbor enlargement of (n, C, r, r) to (n, C, R, R); R = `resolution` is a multiple of r."""
    if images.shape[-1] == resolution:
        return images
    return F.interpolate(images, size=(resolution, resolution), mode="nearest")
