"""What games with more than two players share."""

from torch import nn

from gan_lab.gans.parts import Parts
from gan_lab.gans.phases import Player


def further_player(name: str, network: nn.Module, parts: Parts) -> Player:
    """A player beside the two: an optimizer of its own, and the schedules and the clipping of all.

    Raises:
        ValueError: There is no optimizer for it.
    """
    if name not in parts.optimizers:
        raise ValueError(
            f"optimizer.{name}=null leaves the {name} nothing to move it; set optimizer.{name}='${{optimizer.generator}}'"
        )
    return Player(network, parts.optimizers[name], parts.pace, clip_norm=parts.clip_norm)


def require_weight(name: str, value: float) -> None:
    """Check an option of a game that is a factor.

    Raises:
        ValueError: It is negative.
    """
    if value < 0:
        raise ValueError(f"game.{name}={value} is not allowed: it must be at least 0")
