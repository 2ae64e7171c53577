"""The penalties of an algorithm, by player."""

import copy
from collections import defaultdict
from collections.abc import Mapping, Sequence

from torch import nn

from gan_lab.regularizers.base import Penalty


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
