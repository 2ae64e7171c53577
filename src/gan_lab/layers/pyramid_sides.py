"""Sides of the levels of a Laplacian pyramid (Denton et al., 2015). Without torch: configs use it as well."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

COARSEST = 8
"""Side of the coarsest level by default, in pixels."""


def default_sides(resolution: int | None) -> list[int]:
    """Sides from coarse to fine, each half of the next one rounded up and at least 8; 8, 14, 28 for 28 pixels.

    Empty for points.
    """
    sides = [] if resolution is None else [resolution]
    while sides and sides[0] > COARSEST:
        sides.insert(0, max(COARSEST, (sides[0] + 1) // 2))
    return sides


def require_sides(sides: Sequence[int] | None, resolution: int | None) -> list[int]:
    """Check the sides of a pyramid, and return them from coarse to fine.

    Args:
        sides: From coarse to fine; None for `default_sides`.
        resolution: Resolution of the images; None for points.

    Raises:
        ValueError: The data are points, or these are not the sides of a pyramid that ends at the resolution.
    """
    if resolution is None:
        raise ValueError("architecture=lapgan needs images, and the data are points; choose another model")
    if sides is None:
        found = default_sides(resolution)
        if len(found) < 2:
            raise ValueError(
                f"architecture=lapgan needs images above {COARSEST} pixels, and dataset.resolution={resolution}; give "
                f"the sides of all levels, as in architecture.generator.sides=[4,{resolution}]"
            )
        return found
    key = f"architecture.generator.sides={list(sides) if _is_list(sides) else sides}"
    if not _is_list(sides) or any(type(side) is not int or side < 1 for side in sides):
        raise ValueError(f"{key} is not allowed: it must be a list of whole numbers, from the coarsest level on")
    if len(sides) < 2:
        raise ValueError(f"{key} has no level between the coarsest and the image; give at least two sides")
    if any(coarse >= fine for coarse, fine in pairwise(sides)):
        raise ValueError(f"{key} is not allowed: the sides must increase, from the coarsest level on")
    if sides[-1] != resolution:
        raise ValueError(f"{key} must end at the resolution of the images; dataset.resolution={resolution}")
    return list(sides)


def latent_dim(resolution: int | None, sides: Any, coarsest: int) -> int:
    """Numbers in the latent of a pyramid: `coarsest`, and one for each pixel of every other level.

    Sides that are not allowed count as none, so that the networks can refuse them.
    """
    found = default_sides(resolution) if sides is None else sides
    if not _is_list(found) or any(type(side) is not int for side in found):
        return coarsest
    return coarsest + sum(side**2 for side in found[1:])


def _is_list(sides: Any) -> bool:
    return isinstance(sides, Sequence) and not isinstance(sides, str)
