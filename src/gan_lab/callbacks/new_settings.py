"""Optimizer settings of a resumed run whose config has changed."""

from lightning.pytorch import Trainer

from gan_lab.callbacks.base import Callback
from gan_lab.gans.base import AdversarialModule


class NewSettings(Callback):
    """Replace learning rates and other optimizer settings that a checkpoint restored by those of the config."""

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:
        for optimizer, fresh in zip(trainer.optimizers, module.configure_optimizers(), strict=True):
            for group, wanted in zip(optimizer.param_groups, fresh.param_groups, strict=True):
                group.update({setting: value for setting, value in wanted.items() if setting != "params"})
