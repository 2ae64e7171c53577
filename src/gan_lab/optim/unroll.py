"""An optimizer's next steps as a function that can be differentiated: what an unrolled GAN looks ahead with.

The formulas are those of `torch.optim`, on tensors that are never changed in place.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

Weights = dict[str, Tensor]
Memory = dict[str, Any]
"""What an optimizer keeps of one parameter, under the names that torch gives it."""
Settings = Mapping[str, Any]
"""One of an optimizer's parameter groups."""


def unroll(
    optimizer: Optimizer, parameters: Mapping[str, nn.Parameter], loss: Callable[[Weights], Tensor], steps: int
) -> Weights:
    """The weights after some more steps down a loss (Metz et al., 2017, eq. 7), from where the optimizer stands.

    Differentiable by everything that the loss depends on, through the gradients of all steps and through the moments.
    Neither parameters nor optimizer are changed.

    Args:
        optimizer: Adam or SGD. Its present moments, step counts and settings are those of the first step.
        parameters: What is moved, by name; the optimizer has them. The graph begins at these values.
        loss: From weights by name to a scalar. A weight that it does not depend on stays.
        steps: How many; with 0 the weights are the parameters' values.

    Raises:
        ValueError: It is another optimizer, or one with a setting that is not unrolled.
    """
    require_unrollable(optimizer)
    rule = _RULES[type(optimizer)]
    settings = {parameter: group for group in optimizer.param_groups for parameter in group["params"]}
    memories: dict[str, Memory] = {name: dict(optimizer.state.get(p, {})) for name, p in parameters.items()}
    weights: Weights = {name: p.detach().requires_grad_() for name, p in parameters.items()}
    for _ in range(steps):
        gradients = torch.autograd.grad(loss(weights), list(weights.values()), create_graph=True, allow_unused=True)
        for (name, weight), gradient in zip(list(weights.items()), gradients, strict=True):
            if gradient is not None:
                group = settings[parameters[name]]
                weights[name], memories[name] = rule(weight, gradient, memories[name], group)
    return weights


def require_unrollable(optimizer: Optimizer) -> None:
    """Check that `unroll` knows an optimizer.

    Raises:
        ValueError: It is neither Adam nor SGD, or has a setting that is not unrolled.
    """
    kind = type(optimizer).__name__
    if type(optimizer) not in _RULES:
        raise ValueError(f"the steps of {kind} cannot be unrolled; set optimizer=adam or sgd")
    for word in ("amsgrad", "maximize", "decoupled_weight_decay"):
        if any(group.get(word) for group in optimizer.param_groups):
            raise ValueError(f"{kind} with {word}=true cannot be unrolled; set optimizer.discriminator.{word}=false")


def adam(weight: Tensor, gradient: Tensor, memory: Memory, settings: Settings) -> tuple[Tensor, Memory]:
    """One step of Adam, Kingma & Ba (2015), algorithm 1: the new weight and memory of one tensor."""
    beta1, beta2 = settings["betas"]
    gradient = _decayed(weight, gradient, settings)
    zeros = torch.zeros_like(weight)
    # A tensor in double precision: where it is on a GPU, reading it back would wait for all that is under way.
    count = memory.get("step", torch.zeros(())).double() + 1
    mean = torch.lerp(memory.get("exp_avg", zeros), gradient, 1 - beta1)
    square = beta2 * memory.get("exp_avg_sq", zeros) + (1 - beta2) * gradient.square()
    scale = _root(square) / (1 - beta2**count).sqrt() + settings["eps"]
    weight = weight - settings["lr"] / (1 - beta1**count) * mean / scale
    return weight, {"step": count, "exp_avg": mean, "exp_avg_sq": square}


def sgd(weight: Tensor, gradient: Tensor, memory: Memory, settings: Settings) -> tuple[Tensor, Memory]:
    """One step of gradient descent with momentum, as torch has it: the new weight and memory of one tensor."""
    gradient = _decayed(weight, gradient, settings)
    momentum = settings["momentum"]
    if not momentum:
        return weight - settings["lr"] * gradient, memory
    last = memory.get("momentum_buffer")
    average = gradient if last is None else momentum * last + (1 - settings["dampening"]) * gradient
    direction = gradient + momentum * average if settings["nesterov"] else average
    return weight - settings["lr"] * direction, {"momentum_buffer": average}


_RULES: dict[type[Optimizer], Callable[[Tensor, Tensor, Memory, Settings], tuple[Tensor, Memory]]] = {
    Adam: adam,
    SGD: sgd,
}


def _decayed(weight: Tensor, gradient: Tensor, settings: Settings) -> Tensor:
    return gradient + settings["weight_decay"] * weight if settings["weight_decay"] else gradient


def _root(square: Tensor) -> Tensor:
    """Square root with the derivative 0 at 0, where Adam has met no gradient yet: infinity times 0 would be NaN."""
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1).sqrt(), 0)
