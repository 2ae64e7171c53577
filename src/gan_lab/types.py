"""What the layers of gan_lab hand to each other. Imports torch and nothing else of this project but the random stream."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypedDict

from torch import Tensor, nn

from gan_lab.noise import Noise

Critic = Callable[[Tensor], Tensor]
"""Samples (n, ...) to logits (n,); labels, augmentation and conditioning are closed over."""

Terms = dict[str, Tensor]
"""What a phase minimizes: weighted scalar tensors by name; their sum is differentiated."""


Record = dict[str, list[Tensor]]
"""What one batch leaves for the log: detached scalars by log key, one for each time they were computed."""


class Batch(TypedDict, total=False):
    """One batch of real data on the device, after the data module has finished with it.

    `image` is float32 in [-1, 1], (n, C, H, W), or (n, C) for points; `label` int64 (n,); `index` int64 (n,), the
    position in the data set.
    """

    image: Tensor
    label: Tensor
    index: Tensor


@dataclass(frozen=True)
class DataSpec:
    """What a data set holds: square images of `channels` x `resolution` x `resolution`, or points with `channels` coordinates.

    Args:
        channels: 1 grey, 3 RGB, 4 RGBA; for points the number of coordinates.
        resolution: Side in pixels, or None for points.
        num_classes: Number of labels, or None where there are no labels.
    """

    channels: int
    resolution: int | None
    num_classes: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return (self.channels,) if self.resolution is None else (self.channels, self.resolution, self.resolution)


class CriticStep:
    """What the discriminator sees in one move. Each part is computed when a term first reads it, and once.

    Args:
        critic: Samples to logits.
        real: Real samples, (n, ...).
        generate: Makes the fake samples of this move, (n, ...), without gradient.
        noise: Random rows for penalties that need them.
    """

    def __init__(self, critic: Critic, real: Tensor, generate: Callable[[], Tensor], noise: Noise) -> None:
        self.critic = critic
        self.real = real
        self.noise = noise
        self._generate = generate

    @cached_property
    def fake(self) -> Tensor:
        """Generated samples, (n, ...)."""
        return self._generate()

    @cached_property
    def real_logits(self) -> Tensor:
        """Logits of the real samples, (n,)."""
        return self.critic(self.real)

    @cached_property
    def fake_logits(self) -> Tensor:
        """Logits of the generated samples, (n,)."""
        return self.critic(self.fake)


class AdversarialLoss(Protocol):
    """A pair of losses on logits of shape (n,), both to be minimized; each returns a scalar."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Loss of the discriminator."""

    def generator(self, fake_logits: Tensor) -> Tensor:
        """Loss of the generator."""


class SeparableLoss(AdversarialLoss, Protocol):
    """A loss whose discriminator part is `real(real_logits) + fake(fake_logits)`; label smoothing needs this."""

    def real(self, logits: Tensor) -> Tensor:
        """The discriminator's loss for calling these samples real."""

    def fake(self, logits: Tensor) -> Tensor:
        """The discriminator's loss for calling these samples generated."""


class Penalty(Protocol):
    """An addition to the discriminator's loss, evaluated in float32.

    `weight` multiplies the value; `interval` is the number of batches between evaluations (lazy regularization);
    `per_sample` says that the formula takes the gradient of each logit by its own sample, which no layer that mixes
    the samples of a batch allows.
    """

    @property
    def weight(self) -> float: ...

    @property
    def interval(self) -> int: ...

    @property
    def per_sample(self) -> bool: ...

    def __call__(self, step: CriticStep) -> Tensor:
        """The penalty before weighting, a scalar."""


class Constraint(Protocol):
    """A projection of the discriminator's weights, applied after every step of its optimizer."""

    def __call__(self, network: nn.Module) -> None:
        """Project the weights in place."""


class Schedule(Protocol):
    """A factor on an optimizer setting (rate, momentum, ...) as a pure function of the real images seen so far."""

    def __call__(self, images_seen: int) -> float: ...
