"""The penalties of an algorithm, by player."""

import copy
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from gan_lab.regularizers.base import Penalty
from gan_lab.step import Step


class Penalties(nn.Module):
    """Penalties by player and name. Stateful penalties are submodules, so checkpoints contain their state.

    Args:
        penalties: By name; each names its player.
    """

    def __init__(self, penalties: Mapping[str, Penalty]) -> None:
        super().__init__()
        self._by_player: dict[str, dict[str, Penalty]] = defaultdict(dict)
        for name, penalty in penalties.items():
            self.add(penalty.player, name, penalty)

    def of(self, player: str) -> Mapping[str, Penalty]:
        """The penalties of a player, by name."""
        return self._by_player.get(player, {})

    def players(self) -> list[str]:
        """The players that have penalties."""
        return list(self._by_player)

    def add(self, player: str, name: str, penalty: Penalty) -> None:
        """Add a penalty to a player."""
        self._by_player[player][name] = penalty
        if isinstance(penalty, nn.Module):
            self.add_module(f"{player}/{name}", penalty)

    def copy(self, player: str, other: str) -> None:
        """Copy the penalties of a player to another one; the copies have separate state."""
        for name, penalty in list(self.of(player).items()):
            self.add(other, name, copy.deepcopy(penalty))

    def divide(self, player: str, others: Sequence[str]) -> None:
        """Give each of several players a copy of the penalties of one player, which they replace."""
        for other in others:
            self.copy(player, other)
        for name in self._by_player.pop(player, {}):
            self._modules.pop(f"{player}/{name}", None)

    def split(self, player: str, second: Callable[[Step], Step], prefix: str, factor: float = 1.0) -> None:
        """Give each of two networks of a player every penalty of the player, with separate state.

        Args:
            player: The player.
            second: Converts the step of the first network to that of the second.
            prefix: Prefix of the names of the second network's penalties.
            factor: Factor on the weights.
        """
        for name, penalty in list(self.of(player).items()):
            copied = copy.deepcopy(penalty)
            self.add(player, name, _PenaltyOfPart(penalty, _itself, factor))
            self.add(player, prefix + name, _PenaltyOfPart(copied, second, factor))


class _PenaltyOfPart(nn.Module):
    """A penalty of one of several networks of a player.

    Args:
        penalty: The penalty.
        part: Converts a step to that of the network.
        factor: Factor on the weight.
    """

    def __init__(self, penalty: Penalty, part: Callable[[Step], Step], factor: float) -> None:
        super().__init__()
        self.penalty, self.part, self.weight = penalty, part, factor * penalty.weight
        self.player, self.interval, self.per_sample = penalty.player, penalty.interval, penalty.per_sample

    def forward(self, step: Step) -> Tensor:
        return self.penalty(self.part(step))


def _itself(step: Step) -> Step:
    return step
