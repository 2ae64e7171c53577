"""The losses a user picks by name. Each is a pair: what the discriminator and what the generator minimize.

`relative` and `boundary` are those of `gan_lab.types.AdversarialLoss`. A loss that is not relative ignores the logits of
real samples in the generator's half.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gan_lab.losses import functional as F


class _Separable(ABC):
    """A discriminator's loss that is the sum of a real and a fake half."""

    relative: ClassVar[bool] = False

    @abstractmethod
    def real(self, logits: Tensor) -> Tensor:
        """Loss for calling samples with these logits (n,) real."""

    @abstractmethod
    def fake(self, logits: Tensor) -> Tensor:
        """Loss for calling samples with these logits (n,) generated."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Sum of the two halves; logits (n,), result 0-dim."""
        return self.real(real_logits) + self.fake(fake_logits)


@dataclass(frozen=True)
class Minimax(_Separable):
    """The zero-sum game of Goodfellow et al. (2014), eq. 1."""

    boundary: ClassVar[float | None] = 0.0

    def real(self, logits: Tensor) -> Tensor:
        return F.cross_entropy_real(logits)

    def fake(self, logits: Tensor) -> Tensor:
        return F.cross_entropy_fake(logits)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return F.minimax_generator(fake_logits)


@dataclass(frozen=True)
class NonSaturating(Minimax):
    """Minimax for the discriminator, -log D(G(z)) for the generator: Goodfellow et al. (2014), section 3."""

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return F.cross_entropy_real(fake_logits)


@dataclass(frozen=True)
class BoundarySeeking(Minimax):
    """Minimax for the discriminator, (log D - log(1 - D))^2 / 2 for the generator: continuous BGAN, Hjelm et al. (2018).

    With D = sigmoid(C) the generator's loss is C^2 / 2: it moves samples to where the discriminator cannot tell.
    """

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return F.squared_distance(fake_logits, 0.0)


@dataclass(frozen=True)
class BoundaryCrossEntropy(Minimax):
    """Boundary seeking with a gradient that does not grow with the logit: the other form in Hjelm et al.'s (2018) code."""

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return F.boundary_cross_entropy(fake_logits)


@dataclass(frozen=True)
class LeastSquares(_Separable):
    """Least squares of Mao et al. (2017), eq. 2.

    Args:
        a: What the discriminator answers on generated samples.
        b: What it answers on real samples.
        c: What the generator wants it to answer. (a, b, c) = (0, 1, 1) is the authors' code; (-1, 1, 0) makes the
            generator minimize a Pearson chi-square divergence.
    """

    a: float = 0.0
    b: float = 1.0
    c: float = 1.0

    @property
    def boundary(self) -> float:
        """Halfway between the two answers: the best answer where real and generated samples are equally likely."""
        return (self.a + self.b) / 2

    def real(self, logits: Tensor) -> Tensor:
        return F.squared_distance(logits, self.b)

    def fake(self, logits: Tensor) -> Tensor:
        return F.squared_distance(logits, self.a)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return F.squared_distance(fake_logits, self.c)


@dataclass(frozen=True)
class Wasserstein(_Separable):
    """Difference of mean scores: Arjovsky et al. (2017), algorithm 1, written as minimizations."""

    boundary: ClassVar[float | None] = None

    def real(self, logits: Tensor) -> Tensor:
        return -logits.mean()

    def fake(self, logits: Tensor) -> Tensor:
        return logits.mean()

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -fake_logits.mean()


@dataclass(frozen=True)
class Hinge(_Separable):
    """Hinge loss of Miyato et al. (2018), eq. 16 and 17."""

    boundary: ClassVar[float | None] = 0.0

    def real(self, logits: Tensor) -> Tensor:
        return F.hinge_real(logits)

    def fake(self, logits: Tensor) -> Tensor:
        return F.hinge_fake(logits)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -fake_logits.mean()


class _Relative(ABC):
    """A loss in which both players compare real with generated samples, each wanting its own above the other's."""

    relative: ClassVar[bool] = True
    boundary: ClassVar[float | None] = None

    @abstractmethod
    def compare(self, higher: Tensor, lower: Tensor) -> Tensor:
        """Loss of the player who wants the logits `higher` (n,) above `lower` (n,)."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """The comparison with real samples above; logits (n,), result 0-dim."""
        return self.compare(real_logits, fake_logits)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """The comparison with generated samples above; logits (n,), result 0-dim.

        Raises:
            ValueError: There are no logits of real samples to compare with.
        """
        if real_logits is None:
            name = type(self).__name__
            raise ValueError(f"loss={name} compares the two kinds of samples: its generator(...) needs real_logits too")
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
    """RaHinge, the loss of MSG-GAN (Karnewar & Wang, 2020): hinge on each logit less the other side's mean logit.

    The mean is over the micro-batch of one process, so the loss is that of the share of the batch that is judged at a
    time: more processes or micro-batches compare with fewer samples.
    """

    def compare(self, higher: Tensor, lower: Tensor) -> Tensor:
        return F.relativistic_average_hinge(higher, lower)
