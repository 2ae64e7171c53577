"""Weight initialization by name, with consistent fans for plain and transposed convolutions."""

from math import sqrt

from torch import nn

SCHEMES = ("normal", "uniform", "glorot", "he", "orthogonal", "default")


def initialize(module: nn.Module, scheme: str, scale: float) -> None:
    """Initialize all linear layers, convolutions and transposed convolutions in `module`, in place.

    | scheme       | weights                                        | paper                                       |
    |--------------|------------------------------------------------|---------------------------------------------|
    | `normal`     | N(0, scale^2)                                  | Radford et al. (2016), §4: scale 0.02       |
    | `uniform`    | U(-scale, scale)                               | Goodfellow et al. (2014), code: 0.05, 0.005 |
    | `glorot`     | uniform, std = scale sqrt(2/(fan_in+fan_out))  | Glorot & Bengio (2010)                      |
    | `he`         | uniform, std = scale sqrt(2/fan_in)            | He et al. (2015), eq. 10                    |
    | `orthogonal` | scale times a matrix with orthonormal rows or columns | Saxe et al. (2014)                   |
    | `default`    | PyTorch's initialization; `scale` is not used  |                                             |

    What WGAN-GP's code calls He initialization of convolutions, std = sqrt(4/(fan_in+fan_out)), is `glorot` with scale
    sqrt(2); that of its linear layers is `he`.
    Fans count the connections of one unit: a stride of s divides a convolution's fan_out by s^2, because each input
    reaches only this fraction of the taps, and likewise a transposed convolution's fan_in.
    Biases become 0. Gains of normalization layers become 1 and their shifts 0, except that `normal` draws batch-norm
    gains from N(1, scale^2), as in DCGAN's code. `default` changes nothing.

    Args:
        module: Network or layer; its parameters are overwritten, drawn from PyTorch's global random stream.
        scheme: A name from the table.
        scale: Standard deviation, bound or gain, see the table.

    Raises:
        ValueError: The scheme is not in the table, or the scale is negative.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"init must be one of {', '.join(SCHEMES)}, not {scheme!r}")
    if scale < 0:
        raise ValueError(f"init_scale={scale} is not allowed: it must be at least 0")
    if scheme == "default":
        return
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            _draw(layer, scheme, scale)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
            _reset_norm(layer, scheme, scale)


def _draw(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, scheme: str, scale: float) -> None:
    fan_in, fan_out = fans(layer)
    if scheme == "normal":
        nn.init.normal_(layer.weight, 0.0, scale)
    elif scheme == "orthogonal":
        nn.init.orthogonal_(layer.weight, scale)
    else:
        # U(-b, b) has the standard deviation b / sqrt(3).
        bounds = {
            "uniform": scale,
            "glorot": scale * sqrt(6 / (fan_in + fan_out)),
            "he": scale * sqrt(6 / fan_in),
        }
        nn.init.uniform_(layer.weight, -bounds[scheme], bounds[scheme])


def fans(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> tuple[float, float]:
    """fan_in and fan_out: connections per output unit and per input unit.

    PyTorch's own count ignores strides, and swaps inputs and outputs of transposed convolutions.
    """
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    area = layer.kernel_size[0] * layer.kernel_size[1] / layer.groups
    stride = layer.stride[0] * layer.stride[1]
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.in_channels * area / stride, layer.out_channels * area
    return layer.in_channels * area, layer.out_channels * area / stride


def _reset_norm(
    layer: nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm, scheme: str, scale: float
) -> None:
    if layer.weight is None:  # built without gains and shifts
        return
    if scheme == "normal" and isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, scale)
    else:
        nn.init.ones_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
