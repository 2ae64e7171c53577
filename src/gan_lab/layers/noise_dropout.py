"""Dropout as the noise of a generator, in training and evaluation mode."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_lab.layers.evaluation_noise import EvaluationNoise
from gan_lab.noise import mix
from gan_lab.ranges import require_range

_MASK = 0x4D41534B
"""Key of the fixed masks: an arbitrary constant."""


class NoiseDropout(EvaluationNoise):
    """Dropout that stays on in evaluation mode (Isola et al., 2017, section 3.1).

    In training every sample has a mask of its own, from the global generator. In evaluation mode all samples have the
    same mask, a function of the size of the maps; `with_random_noise` draws one for each sample.

    Args:
        p: Probability of dropping a number, in [0, 1); 0 for no noise.

    Raises:
        ValueError: `p` is out of range.
    """

    mask: Tensor | None

    def __init__(self, p: float) -> None:
        super().__init__()
        require_range("architecture.generator.dropout", p, 0 <= p < 1, "in [0, 1)")
        self.p = p
        self.register_buffer("mask", None, persistent=False)  # set by `with_fixed_masks`

    @property
    def has_noise(self) -> bool:
        return self.p > 0

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, c, h, w) with a part of their numbers set to 0 and the others scaled by 1 / (1 - p)."""
        if not self.has_noise:
            return x
        if self.training:
            return F.dropout(x, self.p)
        kept = self._kept(x) if self.mask is None else self.mask
        return x * kept / (1 - self.p)

    def _kept(self, x: Tensor) -> Tensor:
        """0 for the numbers that are dropped and 1 for the others, (1, c, h, w) or (n, c, h, w)."""
        generator = self.generator()
        shape = (1 if generator is None else len(x), *x.shape[1:])
        generator = generator or torch.Generator().manual_seed(mix(_MASK, *x.shape[1:]))
        return (torch.rand(shape, generator=generator) >= self.p).to(x.device, x.dtype)


def with_fixed_masks(network: nn.Module, *inputs: Tensor | None) -> nn.Module:
    """Copy of a network in evaluation mode with the masks of these inputs as tensors, for maps of their size only."""
    network = copy.deepcopy(network)
    layers = [layer for layer in network.modules() if isinstance(layer, NoiseDropout) and layer.has_noise]
    handles = [layer.register_forward_pre_hook(_keep_mask) for layer in layers]
    with torch.no_grad():
        network(*inputs)
    for handle in handles:
        handle.remove()
    return network


def _keep_mask(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    assert isinstance(layer, NoiseDropout)
    layer.mask = layer._kept(inputs[0])
