"""The losses a user picks by name. Each is a pair: what the discriminator and what the generator minimize."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from gan_lab.losses import functional as F


class _Separable(ABC):
    """A discriminator's loss that is the sum of a real and a fake half."""

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

    def real(self, logits: Tensor) -> Tensor:
        return F.cross_entropy_real(logits)

    def fake(self, logits: Tensor) -> Tensor:
        return F.cross_entropy_fake(logits)

    def generator(self, fake_logits: Tensor) -> Tensor:
        return F.minimax_generator(fake_logits)


@dataclass(frozen=True)
class NonSaturating(Minimax):
    """Minimax for the discriminator, -log D(G(z)) for the generator: Goodfellow et al. (2014), section 3."""

    def generator(self, fake_logits: Tensor) -> Tensor:
        return F.cross_entropy_real(fake_logits)


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

    def real(self, logits: Tensor) -> Tensor:
        return F.squared_distance(logits, self.b)

    def fake(self, logits: Tensor) -> Tensor:
        return F.squared_distance(logits, self.a)

    def generator(self, fake_logits: Tensor) -> Tensor:
        return F.squared_distance(fake_logits, self.c)


@dataclass(frozen=True)
class Wasserstein(_Separable):
    """Difference of mean scores: Arjovsky et al. (2017), algorithm 1, written as minimizations."""

    def real(self, logits: Tensor) -> Tensor:
        return -logits.mean()

    def fake(self, logits: Tensor) -> Tensor:
        return logits.mean()

    def generator(self, fake_logits: Tensor) -> Tensor:
        return -fake_logits.mean()


@dataclass(frozen=True)
class Hinge(_Separable):
    """Hinge loss of Miyato et al. (2018), eq. 16 and 17."""

    def real(self, logits: Tensor) -> Tensor:
        return F.hinge_real(logits)

    def fake(self, logits: Tensor) -> Tensor:
        return F.hinge_fake(logits)

    def generator(self, fake_logits: Tensor) -> Tensor:
        return -fake_logits.mean()
