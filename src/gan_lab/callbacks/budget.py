"""Ends a run."""

from lightning.pytorch import Callback, Trainer

from gan_lab.gans.base import AdversarialModule


class Budget(Callback):
    """Stops training with the first batch that reaches `images` real images seen.

    Args:
        images: Length of the run in real images, over all processes.
    """

    def __init__(self, images: int) -> None:
        self.images = images

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        self._check(trainer, module)

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:  # type: ignore[override]
        self._check(trainer, module)

    def _check(self, trainer: Trainer, module: AdversarialModule) -> None:
        if module.images_seen >= self.images:
            trainer.should_stop = True
