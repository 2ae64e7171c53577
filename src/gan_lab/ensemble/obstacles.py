"""What keeps a run from training in an ensemble."""

from lightning.pytorch import Trainer
from torch import nn
from torch.optim import Adam

from gan_lab.augment.pipelines import NoAugmentation
from gan_lab.gans.base import AdversarialModule
from gan_lab.gans.gan import GAN
from gan_lab.gans.views import View


def obstacle(module: AdversarialModule, trainer: Trainer) -> str | None:
    """Why a run cannot train together with others, as a clause that names the key; None if it can."""
    if not isinstance(module, GAN):
        return f"algorithm={type(module).__name__} is not derived from GAN"
    if trainer.world_size > 1 or trainer.precision != "32-true":
        return "hardware.devices is not 1, or hardware.precision is not 32-true"
    if module.compilation is not None:
        return "hardware.compile is not false"
    if module.accumulate > 1:
        return f"accumulate={module.accumulate} is not 1"
    if type(module.view) is not View:
        return "growth is not none, or the networks have several resolutions"
    if not isinstance(module.augment, NoAugmentation):
        return "augment is not none"
    if module.parts.selection is not None:
        return "regularizer has a selection of samples"
    if next(module.penalties.buffers(), None) is not None:
        return "a regularizer has state"
    return _of_players(module)


def _of_players(module: AdversarialModule) -> str | None:
    for name, player in module.runner.players.items():
        for layer in player.network.modules():
            if next(layer.buffers(recurse=False), None) is not None:
                return f"{type(layer).__name__} of the {name} has state"
            if isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0:
                return f"the {name} has dropout"
        if not all(parameter.requires_grad for parameter in player.parameters):
            return f"layers of the {name} are frozen"
        optimizer = player.optimizer()
        settings = optimizer.param_groups[0]
        if type(optimizer) is not Adam or settings["amsgrad"] or settings["maximize"]:
            return f"optimizer.{name} is not Adam in its common form"
    return None
