"""Lower learning rates after a rollback."""

import logging

from lightning.pytorch import Trainer

from gan_lab.callbacks.base import Callback
from gan_lab.gans.base import AdversarialModule

log = logging.getLogger(__name__)


class RollbackLearningRates(Callback):
    """Multiply the learning rates that training started with by `factor`, once for each rollback.

    The same object is used in all attempts of a command. Checkpoints save the lowered learning rates in the optimizers'
    state.

    Args:
        factor: Factor on all learning rates for each rollback.
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.rollbacks = 0
        self._initial: list[list[dict[str, float]]] | None = None

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:
        groups = [optimizer.param_groups for optimizer in trainer.optimizers]
        if self._initial is None:
            # With a schedule, `initial_lr` is the value that it starts from.
            self._initial = [
                [{k: group[k] for k in ("lr", "initial_lr") if k in group} for group in each] for each in groups
            ]
        if not self.rollbacks:
            return
        factor = self.factor**self.rollbacks
        for each, initial in zip(groups, self._initial, strict=True):
            for group, values in zip(each, initial, strict=True):
                group.update({name: factor * value for name, value in values.items()})
        if trainer.is_global_zero:
            log.warning(
                "Rollback %d: resuming from %s images with %.3g times the learning rates.",
                self.rollbacks, f"{module.images_seen:,}", factor,
            )  # fmt: skip
