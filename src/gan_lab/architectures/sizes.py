"""Checks of the resolution that a family of networks supports."""

from collections.abc import Sequence


def require_power_of_two(architecture: str, resolution: int | None, smallest: int, largest: int) -> int:
    """Check that the resolution is a power of two in a range, and return it.

    Args:
        architecture: The family's name in the config, for the message.
        resolution: Resolution of the images in pixels, None for points.
        smallest: Minimum resolution, a power of two.
        largest: Maximum resolution, a power of two.

    Raises:
        ValueError: The resolution is None or not allowed; the message names an allowed one.
    """
    allowed = [2**k for k in range(smallest.bit_length() - 1, largest.bit_length())]
    return require_resolution(architecture, resolution, allowed, f"a power of two from {smallest} to {largest}")


def require_resolution(architecture: str, resolution: int | None, allowed: Sequence[int], description: str) -> int:
    """Check that the resolution is allowed, and return it.

    Args:
        architecture: The family's name in the config, for the message.
        resolution: Resolution of the images in pixels, None for points.
        allowed: Allowed resolutions, in ascending order.
        description: The allowed values, for the message.

    Raises:
        ValueError: The resolution is None or not allowed; the message names an allowed one.
    """
    if resolution is None:
        raise ValueError(
            f"architecture={architecture} generates images and needs a resolution, which points do not have; "
            "set architecture=mlp"
        )
    if resolution not in allowed:
        choice = next((size for size in allowed if size > resolution), allowed[-1])
        raise ValueError(
            f"architecture={architecture} needs dataset.resolution to be {description}, not {resolution}; "
            f"set dataset.resolution={choice}"
        )
    return resolution
