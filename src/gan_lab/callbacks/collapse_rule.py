"""Criterion for a collapse. Light to import, for reports: no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gan_lab.errors import ConfigError

PATIENCE = 3
"""Default of `Rule.patience`."""


def default_warmup(budget_images: int) -> int:
    """Images before the first check that counts: a tenth of the budget, but at least 30,000."""
    return max(30_000, budget_images // 10)


@dataclass(frozen=True)
class Signals:
    """Signals of one check.

    Attributes:
        images_seen: Real images seen at the check.
        diversity: Mean pairwise distance of samples, divided by that of real samples.
        gradients: Gradient norm of each player, by name, if logged.
        in_class: The same as `diversity` for samples of one label, averaged over labels; None without labels.
    """

    images_seen: int
    diversity: float
    gradients: dict[str, float] = field(default_factory=dict)
    in_class: float | None = None

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Signals":
        """Read one from a checkpoint."""
        norms = {str(name): float(norm) for name, norm in state["gradients"].items()}
        in_class = state["in_class"]
        found = None if in_class is None else float(in_class)
        return cls(int(state["images_seen"]), float(state["diversity"]), norms, found)


@dataclass(frozen=True)
class Rule:
    """Criterion for a collapse.

    A collapse is detected if, in `patience` consecutive checks after `warmup_images`, the diversity is below
    `diversity`, that within classes below `in_class`, or the gradient norm of one player is more than `explosion` times
    its value at half as many images seen.

    Args:
        diversity: In (0, 1).
        in_class: In (0, 1).
        explosion: More than 1.
        patience: At least 1.
        warmup_images: At least 0.
    """

    diversity: float
    in_class: float
    explosion: float
    patience: int
    warmup_images: int

    def __post_init__(self) -> None:
        allowed = {
            "diversity": (0 < self.diversity < 1, "between 0 and 1"),
            "in_class": (0 < self.in_class < 1, "between 0 and 1"),
            "explosion": (self.explosion > 1, "more than 1"),
            "patience": (self.patience >= 1, "at least 1"),
            "warmup_images": (self.warmup_images >= 0, "at least 0"),
        }
        for name, (valid, requirement) in allowed.items():
            if not valid:
                raise ConfigError(
                    f"callbacks.collapse.{name}={getattr(self, name)} is not allowed: it must be {requirement}."
                )

    def find_collapse(self, history: list[Signals]) -> tuple[str, int] | None:
        """Description of a collapse in the latest checks, and the images seen at the first of them; None if healthy."""
        newest = history[-self.patience :]
        if len(newest) < self.patience or newest[0].images_seen < self.warmup_images:
            return None
        if all(signals.diversity < self.diversity for signals in newest):
            ratio = newest[-1].diversity
            return f"two samples differ {ratio:.2g} times as much as two real ones do", newest[0].images_seen
        if all(signals.in_class is not None and signals.in_class < self.in_class for signals in newest):
            times = f"{newest[-1].in_class:.2g} times"
            found = f"two samples of one class differ {times} as much as two real ones of one class do"
            return found, newest[0].images_seen
        for name, norm in newest[-1].gradients.items():
            if all(self._exploded(name, signals, history) for signals in newest):
                return f"the norm of the {name}'s gradient has exploded, to {norm:.3g}", newest[0].images_seen
        return None

    def _exploded(self, name: str, signals: Signals, history: list[Signals]) -> bool:
        earlier = [s for s in history if 2 * s.images_seen <= signals.images_seen and name in s.gradients]
        if not earlier or name not in signals.gradients:
            return False
        return signals.gradients[name] > self.explosion * max(earlier[-1].gradients[name], 1e-12)
