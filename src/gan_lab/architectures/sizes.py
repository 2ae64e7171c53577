"""Which image sizes a family of networks can draw."""

from collections.abc import Sequence


def require_power_of_two(architecture: str, resolution: int | None, smallest: int, largest: int) -> int:
    """The resolution, if it is a power of two between two others.

    Args:
        architecture: The family's name in the config, for the message.
        resolution: Side of the images in pixels, None for points.
        smallest: First allowed resolution, a power of two.
        largest: Last allowed resolution, a power of two.

    Raises:
        ValueError: The resolution is None or not allowed; the message says what to choose.
    """
    allowed = [2**k for k in range(smallest.bit_length() - 1, largest.bit_length())]
    return require_resolution(architecture, resolution, allowed, f"a power of two from {smallest} to {largest}")


def require_resolution(architecture: str, resolution: int | None, allowed: Sequence[int], words: str) -> int:
    """The resolution, if it is one of those allowed.

    Args:
        architecture: The family's name in the config, for the message.
        resolution: Side of the images in pixels, None for points.
        allowed: Ascending.
        words: What is allowed, for the message.

    Raises:
        ValueError: The resolution is None or not allowed; the message says what to choose.
    """
    if resolution is None:
        raise ValueError(
            f"architecture={architecture} draws images, and this data set holds points; choose architecture=mlp"
        )
    if resolution not in allowed:
        choice = next((size for size in allowed if size > resolution), allowed[-1])
        raise ValueError(
            f"architecture={architecture} needs dataset.resolution to be {words}, not {resolution}; "
            f"set dataset.resolution={choice}"
        )
    return resolution
