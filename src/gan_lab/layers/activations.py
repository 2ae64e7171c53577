"""Outputs of a network's activation functions: listed, recorded, or changed during a forward pass.

Works on every network without its help: calls of ReLU and its relatives are intercepted, modules and functions alike.
They are numbered from 1 in the order of the forward pass.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gan_lab.errors import ConfigError

FUNCTIONS = frozenset(
    {
        torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.gelu,
        F.silu,
    }
)  # fmt: skip
"""The intercepted functions. Tanh and sigmoid are not among them: they end networks, and gate parts of them."""

DEAD = 1e-3
"""Deviation over the samples, as a multiple of the mean of the layer's channels, up to which a channel is dead."""


@dataclass(frozen=True)
class ActivationShape:
    """Size of the output of an activation function.

    Attributes:
        number: From 1, in the order of the forward pass.
        channels: Maps, or units of a fully connected layer.
        height: In pixels; 1 for a fully connected layer.
        width: Likewise.
    """

    number: int
    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        if self.height == self.width == 1:
            return f"{self.number}: {self.channels:,} units"
        return f"{self.number}: {self.channels:,} maps of {self.height}x{self.width} pixels"


class AtActivations(TorchFunctionMode):
    """Context in which a function is called with the output of every activation function.

    Args:
        visit: Called with the number of the activation, from 1, and its output (n, channels, ...). Returns what the
            network gets instead, or None for no change.
    """

    def __init__(self, visit: Callable[[int, Tensor], Tensor | None]) -> None:
        super().__init__()
        self.visit = visit
        self.number = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if func not in FUNCTIONS:
            return output
        self.number += 1
        changed = self.visit(self.number, output)
        return output if changed is None else changed


def activation_shapes(network: Callable[..., Any], *inputs: Any) -> list[ActivationShape]:
    """Sizes of all activations of a network for these inputs.

    Args:
        network: Called with `inputs`; a module should be in evaluation mode, so that the pass changes no statistics.
        inputs: Its arguments.
    """
    found: list[ActivationShape] = []

    def note(number: int, output: Tensor) -> None:
        height, width = output.shape[2:] if output.dim() == 4 else (1, 1)
        found.append(ActivationShape(number, output.shape[1], height, width))

    with torch.no_grad(), AtActivations(note):
        network(*inputs)
    return found


def activations(network: Callable[..., Any], *inputs: Any, numbers: Collection[int] | None = None) -> list[Tensor]:
    """Outputs of activation functions in the order of the forward pass, with their graph if gradients are on.

    Args:
        network: Called with `inputs`.
        inputs: Its arguments.
        numbers: Activations to keep; None for all.
    """
    found: list[Tensor] = []

    def keep(number: int, output: Tensor) -> None:
        if numbers is None or number in numbers:
            found.append(output)

    with AtActivations(keep):
        network(*inputs)
    return found


def dead_channels(output: Tensor) -> Tensor:
    """Channels that are the same for all samples, whatever they are at each position: bool (channels,).

    Args:
        output: Of an activation function, float (n, channels, ...), for at least two samples.
    """
    deviation = output.float().std(0).reshape(output.shape[1], -1).mean(1)
    return deviation <= DEAD * deviation.mean()


def shape_numbered(shapes: Sequence[ActivationShape], number: int) -> ActivationShape:
    """The activation of this number among several.

    Raises:
        ConfigError: There is none; lists all.
    """
    for shape in shapes:
        if shape.number == number:
            return shape
    raise ConfigError(f"layer={number} is not allowed: choose one of {'; '.join(map(str, shapes))}.")


def output_and_activation(network: Callable[..., Tensor], number: int, *inputs: Any) -> tuple[Tensor, Tensor]:
    """Output of a network, and that of one of its activation functions.

    Args:
        network: Called with `inputs`.
        number: Of the activation, from 1.
        inputs: Its arguments.
    """
    found: list[Tensor] = []

    def keep(each: int, output: Tensor) -> None:
        if each == number:
            found.append(output)

    with AtActivations(keep):
        output = network(*inputs)
    return output, found[0]


def with_changed_activation(
    network: Callable[..., Tensor], number: int, change: Callable[[Tensor], Tensor]
) -> Callable[..., Tensor]:
    """The network as a function in which one activation is replaced by a function of it.

    Args:
        network: Any callable that applies activation functions.
        number: Of the activation, from 1.
        change: Output of the activation (n, channels, ...) to what the network gets instead, of the same shape.
    """

    def changed(*inputs: Any) -> Tensor:
        with AtActivations(lambda each, output: change(output) if each == number else None):
            return network(*inputs)

    return changed
