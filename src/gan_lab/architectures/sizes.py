"""Which image sizes a family of networks can draw."""


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
    if resolution is None:
        raise ValueError(
            f"architecture={architecture} draws images, and this data set holds points; choose architecture=mlp"
        )
    allowed = [2**k for k in range(smallest.bit_length() - 1, largest.bit_length())]
    if resolution not in allowed:
        choice = next((size for size in allowed if size > resolution), largest)
        raise ValueError(
            f"architecture={architecture} needs dataset.resolution to be a power of two from {smallest} to {largest}, "
            f"not {resolution}; set dataset.resolution={choice}"
        )
    return resolution
