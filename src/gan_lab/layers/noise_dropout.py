"""Dropout as the noise of a generator, in training and evaluation mode."""

import torch
import torch.nn.functional as F
from torch import Tensor

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

    def __init__(self, p: float) -> None:
        super().__init__()
        require_range("architecture.generator.dropout", p, 0 <= p < 1, "in [0, 1)")
        self.p = p

    @property
    def has_noise(self) -> bool:
        return self.p > 0

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, c, h, w) with a part of their numbers set to 0 and the others scaled by 1 / (1 - p)."""
        if not self.has_noise:
            return x
        if self.training:
            return F.dropout(x, self.p)
        generator = self.generator()
        shape = (1 if generator is None else len(x), *x.shape[1:])
        generator = generator or torch.Generator().manual_seed(mix(_MASK, *x.shape[1:]))
        kept = (torch.rand(shape, generator=generator) >= self.p).to(x.device, x.dtype)
        return x * kept / (1 - self.p)
