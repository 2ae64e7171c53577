"""One step of Adam for the stacked weights of the members of an ensemble, each with its own settings."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gan_lab.ensemble.stack import Moments


class Adam:
    """Step of Adam, Kingma & Ba (2015), algorithm 1, for k members; the settings are those of `torch.optim.Adam`.

    Args:
        groups: A parameter group of `torch.optim.Adam` for each member.
        device: Device of the weights.
    """

    def __init__(self, groups: Sequence[Mapping[str, Any]], device: torch.device) -> None:
        rows = [(group["lr"], *group["betas"], group["eps"], group["weight_decay"]) for group in groups]
        # In double precision, as the numbers that torch computes with.
        settings = torch.tensor(rows, dtype=torch.float64, device=device)
        self.lr, self.beta1, self.beta2 = settings[:, :3].unbind(1)
        # Weights of the newest gradient and of its square in their averages.
        self.new_mean, self.new_square = (1 - settings[:, 1:3]).float().unbind(1)
        self.eps, self.weight_decay = settings[:, 3:].float().unbind(1)
        self.decays = any(group["weight_decay"] for group in groups)

    def update(self, weight: Tensor, gradient: Tensor, moments: Moments) -> None:
        """Update a weight (k, ...) and its moments in place."""
        moments.step.add_(1)
        if self.decays:
            gradient = gradient + like(self.weight_decay, weight) * weight
        moments.mean.lerp_(gradient, like(self.new_mean, weight))
        moments.square.lerp_(gradient.square(), like(self.new_square, weight))
        step_size = (self.lr / (1 - self.beta1**moments.step)).float()
        scale = (1 - self.beta2**moments.step).rsqrt().float()
        divisor = moments.square.sqrt().mul_(like(scale, weight)).add_(like(self.eps, weight))
        weight.sub_((moments.mean / divisor).mul_(like(step_size, weight)))


def like(values: Tensor, weight: Tensor) -> Tensor:
    """One value for each member, (k,), to be multiplied with a weight (k, ...)."""
    return values.view(-1, *[1] * (weight.dim() - 1))
