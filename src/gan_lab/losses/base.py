"""Protocols of adversarial losses, and their base class."""

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

from torch import Tensor


class AdversarialLoss(Protocol):
    """A pair of losses on logits of shape (n, ...), both to be minimized; each returns a scalar.

    `relative` is true if the generator's loss also takes the logits of real samples, as many as generated ones.
    `boundary` is the logit at which a sample is equally likely to be real or generated, or None if the loss determines
    only differences of logits.
    """

    @property
    def relative(self) -> bool: ...

    @property
    def boundary(self) -> float | None: ...

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Loss of the discriminator."""

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Loss of the generator; `real_logits` are given if the loss is relative."""


class SeparableLoss(AdversarialLoss, Protocol):
    """A loss whose discriminator term is `real(real_logits) + fake(fake_logits)`; required for label smoothing."""

    def real(self, logits: Tensor) -> Tensor:
        """The discriminator's loss for samples labeled real."""

    def fake(self, logits: Tensor) -> Tensor:
        """The discriminator's loss for samples labeled generated."""


class Loss(ABC):
    """Base of losses whose discriminator loss is the sum of a real and a fake term. Logits are high for real samples.

    A subclass defines `real`, `fake`, `generator` and `boundary`, the logit at which a sample is equally likely to be
    real or generated, or None.

    Attributes:
        relative: Whether the generator's loss compares with the logits of real samples.
        zero_sum: Whether the generator's loss is minus the discriminator's loss of generated samples.
    """

    relative: ClassVar[bool] = False
    zero_sum: ClassVar[bool] = False

    @abstractmethod
    def real(self, logits: Tensor) -> Tensor:
        """Discriminator loss of samples labeled real, from their logits (n,)."""

    @abstractmethod
    def fake(self, logits: Tensor) -> Tensor:
        """Discriminator loss of samples labeled generated, from their logits (n,)."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Sum of the two terms; logits (n,), result 0-dim."""
        return self.real(real_logits) + self.fake(fake_logits)

    @abstractmethod
    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """Generator loss from the logits (n,) of generated samples, 0-dim; `real_logits` only if `relative`."""
