"""Differentiable optimizer steps for unrolled GANs.

The formulas are those of `torch.optim`, without in-place operations.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

Weights = dict[str, Tensor]
OptimizerState = dict[str, Any]
"""An optimizer's state of one parameter, with torch's keys."""
Settings = Mapping[str, Any]
"""One of an optimizer's parameter groups."""


def unroll(
    optimizer: Optimizer, parameters: Mapping[str, nn.Parameter], loss: Callable[[Weights], Tensor], steps: int
) -> Weights:
    """Weights after additional optimizer steps on a loss (Metz et al., 2017, eq. 7).

    Differentiable with respect to everything the loss depends on, through the gradients of all steps and the moments.
    Neither parameters nor optimizer are changed.

    Args:
        optimizer: Adam or SGD. The first step uses its current moments, step counts and settings.
        parameters: Parameters of the optimizer to update, by name. The graph begins at their values.
        loss: Maps weights by name to a scalar. Weights that it does not depend on are not updated.
        steps: Number of steps; 0 returns the parameters' values.

    Raises:
        ValueError: Unrolling does not support the optimizer or one of its settings.
    """
    require_unrollable(optimizer)
    rule = _RULES[type(optimizer)]
    settings = {parameter: group for group in optimizer.param_groups for parameter in group["params"]}
    states: dict[str, OptimizerState] = {name: dict(optimizer.state.get(p, {})) for name, p in parameters.items()}
    weights: Weights = {name: p.detach().requires_grad_() for name, p in parameters.items()}
    for _ in range(steps):
        gradients = torch.autograd.grad(loss(weights), list(weights.values()), create_graph=True, allow_unused=True)
        for (name, weight), gradient in zip(list(weights.items()), gradients, strict=True):
            if gradient is not None:
                group = settings[parameters[name]]
                weights[name], states[name] = rule(weight, gradient, states[name], group)
    return weights


def require_unrollable(optimizer: Optimizer) -> None:
    """Check that `unroll` supports an optimizer.

    Raises:
        ValueError: It is neither Adam nor SGD, or has an unsupported setting.
    """
    kind = type(optimizer).__name__
    if type(optimizer) not in _RULES:
        raise ValueError(f"the steps of {kind} cannot be unrolled; set optimizer=adam or sgd")
    for option in ("amsgrad", "maximize", "decoupled_weight_decay"):
        if any(group.get(option) for group in optimizer.param_groups):
            raise ValueError(
                f"{kind} with {option}=true cannot be unrolled; set optimizer.discriminator.{option}=false"
            )


def adam(weight: Tensor, gradient: Tensor, state: OptimizerState, settings: Settings) -> tuple[Tensor, OptimizerState]:
    """One step of Adam, Kingma & Ba (2015), algorithm 1: the new weight and state of one tensor."""
    beta1, beta2 = settings["betas"]
    gradient = _with_weight_decay(weight, gradient, settings)
    zeros = torch.zeros_like(weight)
    # A double-precision tensor: reading it back from a GPU would wait for all pending work.
    count = state.get("step", torch.zeros(())).double() + 1
    mean = torch.lerp(state.get("exp_avg", zeros), gradient, 1 - beta1)
    square = beta2 * state.get("exp_avg_sq", zeros) + (1 - beta2) * gradient.square()
    scale = _safe_sqrt(square) / (1 - beta2**count).sqrt() + settings["eps"]
    weight = weight - settings["lr"] / (1 - beta1**count) * mean / scale
    return weight, {"step": count, "exp_avg": mean, "exp_avg_sq": square}


def sgd(weight: Tensor, gradient: Tensor, state: OptimizerState, settings: Settings) -> tuple[Tensor, OptimizerState]:
    """One step of SGD with momentum, in torch's form: the new weight and state of one tensor."""
    gradient = _with_weight_decay(weight, gradient, settings)
    momentum = settings["momentum"]
    if not momentum:
        return weight - settings["lr"] * gradient, state
    last = state.get("momentum_buffer")
    average = gradient if last is None else momentum * last + (1 - settings["dampening"]) * gradient
    direction = gradient + momentum * average if settings["nesterov"] else average
    return weight - settings["lr"] * direction, {"momentum_buffer": average}


_RULES: dict[type[Optimizer], Callable[[Tensor, Tensor, OptimizerState, Settings], tuple[Tensor, OptimizerState]]] = {
    Adam: adam,
    SGD: sgd,
}


def _with_weight_decay(weight: Tensor, gradient: Tensor, settings: Settings) -> Tensor:
    return gradient + settings["weight_decay"] * weight if settings["weight_decay"] else gradient


def _safe_sqrt(square: Tensor) -> Tensor:
    """Square root with derivative 0 at 0, where Adam has seen no gradient yet; infinity times 0 would be NaN."""
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1).sqrt(), 0)
