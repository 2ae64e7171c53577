"""Protocols of penalties, constraints and selections.

`kind` classifies each `regularizer.<name>` of a config: `penalty` (the default for a class without `kind`),
`constraint` or `selection`.
"""

from typing import ClassVar, Protocol

from torch import Tensor, nn

from gan_lab.ranges import require_at_least
from gan_lab.step import Step


class Penalty(Protocol):
    """A term added to one player's loss, evaluated in float32; an `nn.Module`, saved in checkpoints, if it has state.

    Attributes:
        player: Name of the player whose loss it is added to.
        weight: Factor on the value, at least 0.
        interval: Phases of that player between evaluations (lazy regularization), at least 1.
        per_sample: True if the formula needs the gradient of each logit with respect to its own sample, so that the
            network must not mix the samples of a batch.
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


class CheckedPenalty:
    """Base of penalties, dataclasses or modules: sets `kind`, and checks `weight` and `interval`.

    Raises:
        ValueError: `weight` is negative, `interval` is less than 1, or one of them is not finite.
    """

    kind: ClassVar[str] = "penalty"
    weight: float
    interval: int

    def __post_init__(self) -> None:
        require_at_least("weight", self.weight, 0)
        require_at_least("interval", self.interval, 1)


class Selection(Protocol):
    """A choice of the generated samples that enter the generator's loss. Its `kind` is `selection`."""

    kind: ClassVar[str]

    def __call__(self, images_seen: int, fake_logits: Tensor) -> Tensor:
        """Indices (k,) of the selected samples, from the logits (n,) of all."""


class Constraint(Protocol):
    """A projection of a discriminator's weights after each of its updates. Its `kind` is `constraint`."""

    kind: ClassVar[str]

    def __call__(self, network: nn.Module) -> None:
        """Project the weights in place."""
