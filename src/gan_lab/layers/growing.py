"""Networks that grow in training: the state they share, and what it does to images (Karras et al., 2018, section 2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.types import Stage

SMALLEST = 4
"""Side of the images that growing begins with."""


class Growing(nn.Module):
    """A network that works at one of several resolutions, from 4x4 by doubling up to its full one.

    `grow` is the one way to set the stage. A new network is at its full resolution. The stage is in the state dict, so a
    loaded network is where it was when it was saved, and a copy where the original is.

    Args:
        resolution: Full side of the images, a power of two from 4 on.
    """

    stage: Stage

    def __init__(self, resolution: int) -> None:
        super().__init__()
        self.sides = [SMALLEST * 2**k for k in range((resolution // SMALLEST).bit_length())]
        self.stage = Stage(resolution)

    @property
    def level(self) -> int:
        """Number of doublings from 4x4 to the present resolution."""
        return self.sides.index(self.stage.resolution)

    def grow(self, stage: Stage) -> None:
        """Work at this stage from now on.

        Raises:
            ValueError: The network has no such resolution, or alpha is not from 0 to 1, or below 1 at 4x4.
        """
        if stage.resolution not in self.sides:
            raise ValueError(f"the network has the resolutions {self.sides}, and not {stage.resolution}")
        if not 0 <= stage.alpha <= 1 or (stage.alpha < 1 and stage.resolution == SMALLEST):
            raise ValueError(
                f"alpha={stage.alpha} at {stage.resolution} pixels: it must be in [0, 1], and 1 at 4 pixels"
            )
        self.stage = stage

    def get_extra_state(self) -> dict[str, int | float]:
        return {"resolution": self.stage.resolution, "alpha": self.stage.alpha}

    def set_extra_state(self, state: dict[str, int | float]) -> None:
        self.grow(Stage(int(state["resolution"]), float(state["alpha"])))


def growing_parts(network: nn.Module) -> list[Growing]:
    """The network itself or what grows inside it, such as a network inside a wrapper."""
    return [part for part in network.modules() if isinstance(part, Growing)]


def fade(old: Tensor, new: Tensor, alpha: float) -> Tensor:
    """(1 - alpha) old + alpha new; exactly `old` for alpha 0 and exactly `new` for 1, where both are finite."""
    return torch.lerp(old, new, alpha)


def doubled(x: Tensor) -> Tensor:
    """(n, c, h, w) to (n, c, 2 h, 2 w), each pixel four times."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def halved(x: Tensor) -> Tensor:
    """(n, c, h, w) to (n, c, h / 2, w / 2), the mean of four pixels."""
    return F.avg_pool2d(x, 2)


def shown_at(images: Tensor, stage: Stage) -> Tensor:
    """Real images as a generator draws them at a stage: pooled to its side and, while that fades in, as much blurred.

    x becomes (1 - alpha) doubled(halved(x)) + alpha x (Karras et al., 2018, Fig. 2, and the authors' code), so that details
    that the generator cannot draw yet do not give real images away.

    Args:
        images: (n, C, R, R) in [-1, 1], R a power of two, at least the stage's resolution.
        stage: Where the networks are.

    Returns:
        (n, C, r, r) in [-1, 1] for the stage's resolution r.
    """
    small = F.avg_pool2d(images, images.shape[-1] // stage.resolution)  # (n, C, r, r)
    return small if stage.alpha == 1 else fade(doubled(halved(small)), small, stage.alpha)


def enlarged(images: Tensor, side: int) -> Tensor:
    """(n, C, r, r) to (n, C, side, side), each pixel repeated; side a multiple of r."""
    return images if images.shape[-1] == side else F.interpolate(images, size=(side, side), mode="nearest")
