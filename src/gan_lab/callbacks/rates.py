"""Lower rates after a rollback."""

import logging

from lightning.pytorch import Callback, Trainer

from gan_lab.gans.base import AdversarialModule

log = logging.getLogger(__name__)


class Rates(Callback):
    """Keeps the rates that a command began with, and multiplies them by a factor after each rollback.

    One object sees all attempts of a command. The rates are in the optimizers' state, so checkpoints keep what they have become.

    Args:
        factor: On all rates, for each rollback.
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.rollbacks = 0
        self._first: list[list[dict[str, float]]] | None = None

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        groups = [optimizer.param_groups for optimizer in trainer.optimizers]
        if self._first is None:
            # Where a rate has a schedule, its first value stands beside it.
            self._first = [
                [{k: group[k] for k in ("lr", "initial_lr") if k in group} for group in each] for each in groups
            ]
        if not self.rollbacks:
            return
        share = self.factor**self.rollbacks
        for each, first in zip(groups, self._first, strict=True):
            for group, rates in zip(each, first, strict=True):
                group.update({name: share * rate for name, rate in rates.items()})
        if trainer.is_global_zero:
            log.warning(
                "Rollback %d: the run goes on from %s images with %.3g times the rates.",
                self.rollbacks, f"{module.images_seen:,}", share,
            )  # fmt: skip
