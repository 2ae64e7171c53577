"""Weights and optimizer states of the members of an ensemble as slices of stacked tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gan_lab.gans.phases import PhaseRunner


@dataclass(frozen=True)
class Moments:
    """State of Adam of one parameter for k members.

    Attributes:
        step: Number of steps, float32 (k,).
        mean: Average of the gradient, (k, ...).
        square: Average of the squared gradient, (k, ...).
    """

    step: Tensor
    mean: Tensor
    square: Tensor


class Stack:
    """Weights and states of Adam of k members, stacked along a new first dimension.

    The members' own parameters and states become views of the stacked tensors: an update of these updates all members,
    and whatever reads a member, such as a checkpoint or a figure, sees its current weights.

    Args:
        runners: The members' runners, of modules with the same parameters. The first one's functions compute the
            terms of all members.
    """

    def __init__(self, runners: Sequence[PhaseRunner]) -> None:
        self.runners = runners
        self.terms = _Terms(runners[0])
        self.weights: dict[str, Tensor] = {}
        self._moments: dict[str, Moments] = {}
        self._members: dict[str, list[nn.Parameter]] = {}
        self.names: dict[str, list[str]] = {player: [] for player in runners[0].players}
        parameter_names = {parameter: name for name, parameter in runners[0].module.named_parameters()}
        for player, names in self.names.items():
            for each in zip(*(runner.players[player].parameters for runner in runners), strict=True):
                name = parameter_names[each[0]]
                names.append(name)
                self._members[name] = list(each)
                self.weights[name] = torch.stack([parameter.detach() for parameter in each])
                for parameter, row in zip(each, self.weights[name], strict=True):
                    parameter.data = row

    def __len__(self) -> int:
        """Number of members."""
        return len(self.runners)

    def groups(self, player: str) -> list[Mapping[str, Any]]:
        """Settings of a player's optimizer, by member."""
        return [runner.optimizer(player).param_groups[0] for runner in self.runners]

    def by_member(self, player: str, gradients: Mapping[str, Tensor]) -> list[list[Tensor | None]]:
        """The gradients of the weights of a player, for each member one per parameter; None where there is none."""
        rows = [gradients[name].unbind() if name in gradients else [None] * len(self) for name in self.names[player]]
        return [list(each) for each in zip(*rows, strict=True)]

    def moments(self, player: str, name: str) -> Moments:
        """State of Adam of a parameter, which its first gradient creates."""
        if name not in self._moments:
            states = [
                runner.optimizer(player).state[parameter]
                for runner, parameter in zip(self.runners, self._members[name], strict=True)
            ]
            self._moments[name] = _stacked(states, self._members[name])
        return self._moments[name]


class _Terms(nn.Module):
    """The terms of an update as the `forward` of a module, whose weights `functional_call` can replace."""

    def __init__(self, runner: PhaseRunner) -> None:
        super().__init__()
        self.module = runner.module
        self.forward = runner.terms_of


def _stacked(states: Sequence[dict[str, Tensor]], parameters: Sequence[nn.Parameter]) -> Moments:
    """Stack the states of Adam of one parameter of each member, and make them views of the stacked ones."""
    for state, parameter in zip(states, parameters, strict=True):
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
    found = Moments(*(torch.stack([state[key] for state in states]) for key in ("step", "exp_avg", "exp_avg_sq")))
    for row, state in enumerate(states):
        state.update(step=found.step[row], exp_avg=found.mean[row], exp_avg_sq=found.square[row])
    return found
