"""Resolutions of the levels of a Laplacian pyramid (Denton et al., 2015). Without torch: configs use it as well."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

COARSEST = 8
"""Resolution of the coarsest level by default."""


def default_resolutions(resolution: int | None) -> list[int]:
    """Resolutions from coarse to fine, each half of the next one rounded up and at least 8; 8, 14, 28 for 28 pixels.

    Empty for points.
    """
    resolutions = [] if resolution is None else [resolution]
    while resolutions and resolutions[0] > COARSEST:
        resolutions.insert(0, max(COARSEST, (resolutions[0] + 1) // 2))
    return resolutions


def require_resolutions(resolutions: Sequence[int] | None, resolution: int | None) -> list[int]:
    """Check the resolutions of a pyramid, and return them from coarse to fine.

    Args:
        resolutions: From coarse to fine; None for `default_resolutions`.
        resolution: Resolution of the images; None for points.

    Raises:
        ValueError: The data are points, or these are not the resolutions of a pyramid that ends at the resolution.
    """
    if resolution is None:
        raise ValueError("architecture=lapgan needs images, and the data are points; choose another model")
    if resolutions is None:
        found = default_resolutions(resolution)
        if len(found) < 2:
            raise ValueError(
                f"architecture=lapgan needs images above {COARSEST} pixels, and dataset.resolution={resolution}; give "
                f"the resolutions of all levels, as in architecture.generator.resolutions=[4,{resolution}]"
            )
        return found
    key = f"architecture.generator.resolutions={list(resolutions) if _is_list(resolutions) else resolutions}"
    if not _is_list(resolutions) or any(type(each) is not int or each < 1 for each in resolutions):
        raise ValueError(f"{key} is not allowed: it must be a list of whole numbers, from the coarsest level on")
    if len(resolutions) < 2:
        raise ValueError(f"{key} has no level between the coarsest and the image; give at least two resolutions")
    if any(coarse >= fine for coarse, fine in pairwise(resolutions)):
        raise ValueError(f"{key} is not allowed: the resolutions must increase, from the coarsest level on")
    if resolutions[-1] != resolution:
        raise ValueError(f"{key} must end at the resolution of the images; dataset.resolution={resolution}")
    return list(resolutions)


def latent_dim(resolution: int | None, resolutions: Any, coarsest: int) -> int:
    """Numbers in the latent of a pyramid: `coarsest`, and one for each pixel of every other level.

    Resolutions that are not allowed count as none, so that the networks can refuse them.
    """
    found = default_resolutions(resolution) if resolutions is None else resolutions
    if not _is_list(found) or any(type(each) is not int for each in found):
        return coarsest
    return coarsest + sum(each**2 for each in found[1:])


def _is_list(resolutions: Any) -> bool:
    return isinstance(resolutions, Sequence) and not isinstance(resolutions, str)
