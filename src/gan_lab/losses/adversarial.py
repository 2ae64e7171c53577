"""Adversarial losses that configs choose by name. Each is a pair of the discriminator's and the generator's loss.

`gan_lab.losses.base.AdversarialLoss` explains `relative` and `boundary`. The generator's loss of a loss that is not
relative ignores the logits of real samples.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gan_lab.losses import functional as F
from gan_lab.losses.base import Loss
from gan_lab.ranges import require_at_least


@dataclass(frozen=True)
class Minimax(Loss):
    """Minimax (zero-sum) loss of Goodfellow et al. (2014), eq. 1."""

    boundary: ClassVar[float | None] = 0.0
    zero_sum: ClassVar[bool] = True

    def real(self, logits: Tensor) -> Tensor:
        return F.cross_entropy_real(logits)

    def fake(self, logits: Tensor) -> Tensor:
        return F.cross_entropy_fake(logits)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return F.minimax_generator(fake_logits)


@dataclass(frozen=True)
class NonSaturating(Minimax):
    """Minimax for the discriminator, -log D(G(z)) for the generator: Goodfellow et al. (2014), section 3."""

    zero_sum: ClassVar[bool] = False

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return F.cross_entropy_real(fake_logits)


@dataclass(frozen=True)
class MultiAgent(Loss):
    """Loss of several generators that each make as many samples as there are real ones: MAD-GAN, Ghosh et al. (2018).

    The non-saturating loss, whose term of generated samples, a mean over all generators, counts as often as there are
    generators. With `conditioning=multi_agent`, which adds the cross entropy of the generators, it is the loss of a
    softmax over the data and all generators.

    Args:
        generators: K. An optimal discriminator has the probability 1 / (K + 1) for real, where the mixture of the
            generators has the distribution of the data.

    Raises:
        ValueError: There is no generator.
    """

    generators: int

    def __post_init__(self) -> None:
        require_at_least("loss.generators", self.generators, 1)

    @property
    def boundary(self) -> float:
        """The logit of the probability 1 / (K + 1)."""
        return -math.log(self.generators)

    def real(self, logits: Tensor) -> Tensor:
        return F.cross_entropy_real(logits)

    def fake(self, logits: Tensor) -> Tensor:
        return self.generators * F.cross_entropy_fake(logits)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return F.cross_entropy_real(fake_logits)


@dataclass(frozen=True)
class BoundarySeeking(Minimax):
    """Minimax for the discriminator, (log D - log(1 - D))^2 / 2 for the generator: BGAN, Hjelm et al. (2018).

    With D = sigmoid(C) the generator's loss is C^2 / 2: it pulls samples to the decision boundary D = 1/2.
    """

    zero_sum: ClassVar[bool] = False

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return F.squared_distance(fake_logits, 0.0)


@dataclass(frozen=True)
class BoundaryCrossEntropy(Minimax):
    """Boundary seeking with each logit's gradient bounded by 1/2: the other form in Hjelm et al.'s (2018) code."""

    zero_sum: ClassVar[bool] = False

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return F.boundary_cross_entropy(fake_logits)


@dataclass(frozen=True)
class LeastSquares(Loss):
    """Least squares of Mao et al. (2017), eq. 2.

    Args:
        a: Target of the discriminator for generated samples.
        b: Target of the discriminator for real samples.
        c: Target of the generator. (a, b, c) = (0, 1, 1) is the authors' code; (-1, 1, 0) makes the generator minimize
            a Pearson chi-square divergence.
    """

    a: float = 0.0
    b: float = 1.0
    c: float = 1.0

    @property
    def boundary(self) -> float:
        """Mean of a and b: the optimal output where real and generated samples are equally likely."""
        return (self.a + self.b) / 2

    def real(self, logits: Tensor) -> Tensor:
        return F.squared_distance(logits, self.b)

    def fake(self, logits: Tensor) -> Tensor:
        return F.squared_distance(logits, self.a)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return F.squared_distance(fake_logits, self.c)


@dataclass(frozen=True)
class Wasserstein(Loss):
    """Difference of mean scores: Arjovsky et al. (2017), algorithm 1, signs changed for minimization."""

    boundary: ClassVar[float | None] = None
    zero_sum: ClassVar[bool] = True

    def real(self, logits: Tensor) -> Tensor:
        return -logits.mean()

    def fake(self, logits: Tensor) -> Tensor:
        return logits.mean()

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -fake_logits.mean()


@dataclass(frozen=True)
class Hinge(Loss):
    """Hinge loss of Miyato et al. (2018), eq. 16 and 17."""

    boundary: ClassVar[float | None] = 0.0

    def real(self, logits: Tensor) -> Tensor:
        return F.hinge_real(logits)

    def fake(self, logits: Tensor) -> Tensor:
        return F.hinge_fake(logits)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -fake_logits.mean()


class _Relative(ABC):
    """Base of losses in which both players compare logits of real samples with those of generated ones."""

    relative: ClassVar[bool] = True
    boundary: ClassVar[float | None] = None

    @abstractmethod
    def compare(self, higher: Tensor, lower: Tensor) -> Tensor:
        """Loss of the player that raises the logits `higher` (n,) above `lower` (n,)."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Loss that falls as real logits rise above fake ones; logits (n,), result 0-dim."""
        return self.compare(real_logits, fake_logits)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Loss that falls as fake logits rise above real ones; logits (n,), result 0-dim.

        Raises:
            ValueError: `real_logits` is missing.
        """
        if real_logits is None:
            name = type(self).__name__
            raise ValueError(f"loss={name} compares real with generated samples; pass real_logits to generator(...)")
        return self.compare(fake_logits, real_logits)


@dataclass(frozen=True)
class Relativistic(_Relative):
    """Relativistic pairing: R3GAN of Huang et al. (2024), section 2. Only differences of logits matter.

    Real and generated samples are paired one to one, in the order of the batch.
    """

    def compare(self, higher: Tensor, lower: Tensor) -> Tensor:
        return F.relativistic(higher, lower)


@dataclass(frozen=True)
class RelativisticAverageHinge(_Relative):
    """RaHinge, the loss of MSG-GAN (Karnewar & Wang, 2020): hinge on each logit minus the other kind's mean logit.

    The mean is over the micro-batch of one process, so with more processes or micro-batches each logit is compared with
    fewer samples.
    """

    def compare(self, higher: Tensor, lower: Tensor) -> Tensor:
        return F.relativistic_average_hinge(higher, lower)
