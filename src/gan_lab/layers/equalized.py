"""Equalized learning rate: N(0, 1) weights that are scaled at each use."""

from math import sqrt

from torch import Tensor, nn
from torch.nn.utils import parametrize

from gan_lab.layers.initialization import fans


class EqualizedLearningRate(nn.Module):
    """Weight times a constant (Karras et al., 2018, section 4.1), as a PyTorch parametrization.

    Adam changes each stored weight by about the learning rate, regardless of its gradient. With N(0, 1) weights in all
    layers, all layers therefore learn at the same relative speed, unlike with He's constant in the initial weights.

    Args:
        scale: The constant.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """The scaled weight, in the shape, dtype and memory format of the stored one."""
        return weight * self.scale

    def extra_repr(self) -> str:
        return f"scale={self.scale:.4g}"


def equalize(
    layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, gain: float = 2**0.5, lr_multiplier: float = 1.0
) -> None:
    """Equalize a layer in place: weights from N(0, 1), scaled by gain / sqrt(fan_in) at each use; biases 0.

    fan_in is that of `initialize`. The bias is not scaled, except by `lr_multiplier`.

    Args:
        layer: Layer without parametrizations.
        gain: sqrt(2) before a (leaky) ReLU, 1 without an activation: the variance of the output is gain^2 times the
            mean square of the input.
        lr_multiplier: Speed of the layer relative to others under Adam, .01 in StyleGAN's mapping network. Stored
            weights are from N(0, 1 / lr_multiplier^2), and weights and biases are multiplied by it at each use.
    """
    nn.init.normal_(layer.weight, 0.0, 1 / lr_multiplier)
    fan_in, _ = fans(layer)
    scales = {"weight": lr_multiplier * gain / sqrt(fan_in)}
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
        if lr_multiplier != 1:
            scales["bias"] = lr_multiplier
    for name, scale in scales.items():
        # `unsafe` only skips the forward pass that checks shape and dtype, which do not change here.
        parametrize.register_parametrization(layer, name, EqualizedLearningRate(scale), unsafe=True)
