"""Equalized learning rate: weights of one size, scaled whenever they are used."""

from math import sqrt

from torch import Tensor, nn
from torch.nn.utils import parametrize

from gan_lab.layers.initialization import fans


class EqualizedRate(nn.Module):
    """Weight times a constant (Karras et al., 2018, section 4.1), as a PyTorch parametrization.

    Adam moves each stored number by about the rate, whatever its gradient. Where all layers store N(0, 1) numbers, all
    therefore change at the same relative speed, which they would not with He's constant in the initial weights.

    Args:
        scale: The constant.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """The weight that the layer computes with, in the shape, dtype and memory format of the stored one."""
        return weight * self.scale

    def extra_repr(self) -> str:
        return f"scale={self.scale:.4g}"


def equalize(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, gain: float = 2**0.5) -> None:
    """Draw a layer's weights from N(0, 1), set its biases to 0, and let it use gain / sqrt(fan_in) of a weight, in place.

    fan_in counts as in `initialize`. The bias is used as it is.

    Args:
        layer: Its weight is not parametrized yet.
        gain: sqrt(2) before a (leaky) ReLU, 1 before nothing: the variance of the output is gain^2 times the mean square
            of the input.
    """
    nn.init.normal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    fan_in, _ = fans(layer)
    # `unsafe` only skips a forward pass that would check what cannot go wrong here.
    parametrize.register_parametrization(layer, "weight", EqualizedRate(gain / sqrt(fan_in)), unsafe=True)
