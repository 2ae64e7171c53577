"""What the layers of gan_lab hand to each other. Imports torch and nothing else of this project but the random stream."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypedDict, cast

import torch
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


@dataclass(frozen=True)
class Stage:
    """How far networks have grown that begin with small images and double their side again and again.

    Args:
        resolution: Side of the images that they draw and judge now, in pixels.
        alpha: Share of the layers of that resolution while they are faded in, from 0 to 1; 1 when they are all there is.
    """

    resolution: int
    alpha: float = 1.0


class Judged:
    """Samples and what the discriminator makes of them. Each part is computed when a term first reads it, and once.

    Args:
        network: The discriminator: `features(samples, labels)` gives the last hidden layer (n, d), `head(features, labels)`
            the logits (n,), and, where there is a classifier, `classify(features)` the class logits (n, num_classes).
            A discriminator that judges packs of m samples gives n / m rows, of m samples that follow each other.
        draw: Gives the samples (n, ...) and their labels, int64 (n,), or None where nothing is conditioned on labels.
        view: What the discriminator is shown of samples: the samples themselves, or these augmented.
    """

    def __init__(
        self,
        network: nn.Module,
        draw: Callable[[], tuple[Tensor, Tensor | None]],
        view: Callable[[Tensor], Tensor] = lambda samples: samples,
    ) -> None:
        self._network = cast(Any, network)
        self._draw = draw
        self._view = view

    @cached_property
    def _drawn(self) -> tuple[Tensor, Tensor | None]:
        return self._draw()

    @property
    def samples(self) -> Tensor:
        """The samples, (n, ...), as they are before any augmentation."""
        return self._drawn[0]

    @property
    def labels(self) -> Tensor | None:
        """Their labels, int64 (n,), or None."""
        return self._drawn[1]

    @cached_property
    def features(self) -> Tensor:
        """Last hidden layer, (n, d), never in half precision."""
        return self._features(self.samples)

    @cached_property
    def logits(self) -> Tensor:
        """Logits, (n,), never in half precision."""
        return self._head(self.features)

    @cached_property
    def class_logits(self) -> Tensor:
        """Class logits of the discriminator's classifier, (n, num_classes), never in half precision."""
        return _widen(self._network.classify(self.features))

    def critic(self, points: Tensor) -> Tensor:
        """Logits (n,) of other points (n, ...) that have the labels of these samples; a `Critic`."""
        return self._head(self._features(points))

    def _features(self, points: Tensor) -> Tensor:
        # Half-precision features would not fit the head where a penalty turns autocast off.
        return _widen(self._network.features(self._view(points), self.labels))

    def _head(self, features: Tensor) -> Tensor:
        return _widen(self._network.head(features, self.labels))


def _widen(x: Tensor) -> Tensor:
    """Half precision to float32; wider types as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


@dataclass(frozen=True)
class Step:
    """What a player sees in one move.

    In the discriminator's move the generated samples carry no gradient; in the generator's they do, and the
    discriminator's parameters are frozen.

    Args:
        network: The network that moves.
        real: Real samples.
        fake: Generated samples.
        noise: Random rows for penalties that need them.
    """

    network: nn.Module
    real: Judged
    fake: Judged
    noise: Noise


class AdversarialLoss(Protocol):
    """A pair of losses on logits of shape (n,), both to be minimized; each returns a scalar.

    `relative` says that the generator's loss compares with the logits of real samples, as many as generated ones.
    `boundary` is the logit of a sample that counts as half real, or None where the loss fixes only differences of logits.
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
    """A loss whose discriminator part is `real(real_logits) + fake(fake_logits)`; label smoothing needs this."""

    def real(self, logits: Tensor) -> Tensor:
        """The discriminator's loss for calling these samples real."""

    def fake(self, logits: Tensor) -> Tensor:
        """The discriminator's loss for calling these samples generated."""


class Penalty(Protocol):
    """An addition to one player's loss, evaluated in float32.

    `player` is whose loss: `discriminator` or `generator`. `weight` multiplies the value; `interval` is the number of that
    player's batches between evaluations (lazy regularization, for the discriminator only); `per_sample` says that the
    formula takes the gradient of each logit by its own sample, which no layer that mixes the samples of a batch allows.
    A penalty with memory is an `nn.Module`, whose state is in the checkpoint.
    """

    @property
    def player(self) -> str: ...

    @property
    def weight(self) -> float: ...

    @property
    def interval(self) -> int: ...

    @property
    def per_sample(self) -> bool: ...

    def __call__(self, step: Step) -> Tensor:
        """The penalty before weighting, a scalar."""


class Selection(Protocol):
    """Which generated samples the generator's loss counts."""

    def __call__(self, images_seen: int, fake_logits: Tensor) -> Tensor:
        """Indices (k,) of the samples that count, from their logits (n,)."""


class Augmentation(Protocol):
    """What is done to every image that the discriminator sees, real or generated; an `nn.Module`.

    `needs_boundary` says that it learns from the side of the loss's boundary on which real logits lie.
    """

    @property
    def needs_boundary(self) -> bool: ...

    def __call__(self, images: Tensor, noise: Noise) -> Tensor:
        """Images (n, C, H, W) in [-1, 1] to such images, differentiable by them."""

    def learn(self, margins: Tensor, images: int) -> dict[str, Tensor]:
        """Adapt to the real logits less the boundary, (n,), of a batch of `images` over all processes.

        Returns scalars for the log by name.
        """


class Wrapper(Protocol):
    """A part around a network of any architecture: what it changes in the network's constructor, and what it adds."""

    def words(self, words: dict[str, Any]) -> dict[str, Any]:
        """The constructor's words for the network inside."""

    def __call__(self, network: nn.Module) -> nn.Module:
        """The network with the part around or inside it."""


class Constraint(Protocol):
    """A projection of the discriminator's weights, applied after every step of its optimizer."""

    def __call__(self, network: nn.Module) -> None:
        """Project the weights in place."""


class Schedule(Protocol):
    """A factor on an optimizer setting (rate, momentum, ...) as a pure function of the real images seen so far."""

    def __call__(self, images_seen: int) -> float: ...
