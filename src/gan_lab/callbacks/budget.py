"""End of a run after a number of real images."""

from lightning.pytorch import Trainer

from gan_lab.callbacks.base import Callback
from gan_lab.gans.base import AdversarialModule
from gan_lab.ranges import require_at_least


class Budget(Callback):
    """Stop training after the first batch that reaches `images` real images seen.

    Args:
        images: Length of the run in real images, over all processes.
    """

    def __init__(self, images: int) -> None:
        require_at_least("callbacks.budget.images", images, 1)
        self.images = images

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:
        self._check(trainer, module)

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:
        self._check(trainer, module)

    def _check(self, trainer: Trainer, module: AdversarialModule) -> None:
        if module.images_seen >= self.images:
            trainer.should_stop = True
