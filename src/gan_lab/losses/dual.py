"""Loss of D2GAN, a GAN with two discriminators."""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gan_lab.losses import functional as F


@dataclass(frozen=True)
class Dual:
    """D2GAN of Nguyen et al. (2017), eq. 1: one discriminator scores real samples high, the other generated ones.

    J = alpha E log D1(x) - E D1(G(z)) - E D2(x) + beta E log D2(G(z)) with D = softplus of a logit; the discriminators
    maximize it and the generator minimizes it. For optimal discriminators, D1 = alpha p / q and D2 = beta q / p with
    densities p of the data and q of the samples, it is alpha KL(p || q) + beta KL(q || p) plus a constant.

    Args:
        alpha: Weight of KL(p || q), which penalizes missing modes. Lower alpha or beta makes training more stable.
        beta: Weight of KL(q || p), which penalizes samples where there are no data.

    Raises:
        ValueError: `alpha` or `beta` is not in (0, 1].
    """

    alpha: float = 1.0
    beta: float = 1.0
    relative: ClassVar[bool] = False
    discriminators: ClassVar[int] = 2

    def __post_init__(self) -> None:
        for name, value in {"alpha": self.alpha, "beta": self.beta}.items():
            if not 0 < value <= 1:
                raise ValueError(f"loss.{name}={value} is not allowed: it must be in (0, 1]")

    @property
    def boundary(self) -> float:
        """The first discriminator's optimal logit where real and generated samples are equally likely: D1 = alpha."""
        return math.log(math.expm1(self.alpha))

    def first(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Loss of the first discriminator from its logits (n,); 0-dim."""
        return F.dual_discriminator(real_logits, fake_logits, self.alpha)

    def second(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Loss of the second discriminator from its logits (n,); 0-dim."""
        return F.dual_discriminator(fake_logits, real_logits, self.beta)

    def generator(self, first_logits: Tensor, second_logits: Tensor) -> Tensor:
        """Loss of the generator from both discriminators' logits (n,) of generated samples; 0-dim."""
        return F.dual_generator(first_logits, second_logits, self.beta)
