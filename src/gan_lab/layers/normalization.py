"""Normalization layers by name."""

from torch import nn

NORMS = ("none", "batch", "layer", "instance")


def require_norm(name: str) -> None:
    """Check the name of a norm, also for networks without norms, which do not call `normalization`.

    Raises:
        ValueError: The name is not one of `NORMS`.
    """
    if name not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}, not {name!r}")


def normalization(name: str, channels: int, dims: int) -> nn.Module:
    """Normalization of (n, channels) or (n, channels, h, w), with a gain and a shift per channel.

    | name       | statistics over                            | paper                                          |
    |------------|--------------------------------------------|------------------------------------------------|
    | `none`     | nothing; the identity                      |                                                |
    | `batch`    | the batch and the pixels, per channel      | Ioffe & Szegedy (2015)                         |
    | `layer`    | the channels and the pixels, per sample    | Ba et al. (2016); WGAN-GP's advice for critics |
    | `instance` | the pixels, per sample and channel         | Ulyanov et al. (2016), as in CycleGAN's code   |

    `instance` has neither gains nor shifts, and needs images of more than one pixel. With `batch` each output depends
    on all samples of this process; a penalty on the gradient of each sample's logit needs another norm.

    Args:
        name: A name from the table.
        channels: Size of dimension 1.
        dims: Number of dimensions after the channels: 2 for images, 0 for vectors.

    Raises:
        ValueError: The name is not in the table, or `dims` is neither 0 nor 2, or 0 with `instance`.
    """
    require_norm(name)
    if dims not in (0, 2):
        raise ValueError(f"dims must be 0 (vectors) or 2 (images), not {dims}")
    if name == "instance" and dims == 0:
        raise ValueError("norm=instance is over the pixels of images, and there are none; set norm=layer")
    if name == "none":
        return nn.Identity()
    if name == "batch":
        return nn.BatchNorm2d(channels) if dims == 2 else nn.BatchNorm1d(channels)
    if name == "instance":
        return nn.InstanceNorm2d(channels)
    # One group is the layer norm of an image; nn.LayerNorm would need a gain per pixel and a fixed resolution.
    return nn.GroupNorm(1, channels) if dims == 2 else nn.LayerNorm(channels)
