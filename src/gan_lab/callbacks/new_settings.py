"""What a run that goes on with changed settings needs beside its config."""

from lightning.pytorch import Callback, Trainer

from gan_lab.gans.base import AdversarialModule


class NewSettings(Callback):
    """Gives the optimizers the rates and other settings of the config, where a checkpoint has brought those it was made with."""

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        for optimizer, fresh in zip(trainer.optimizers, module.configure_optimizers(), strict=True):
            for group, wanted in zip(optimizer.param_groups, fresh.param_groups, strict=True):
                group.update({setting: value for setting, value in wanted.items() if setting != "params"})
