"""Compilation of the networks by torch.compile, in the updates that allow it."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from gan_lab.errors import ConfigError
from gan_lab.layers.growing import growing_networks

CUDA_GRAPHS = "cudagraphs"
"""Value of `hardware.compile` that also records CUDA graphs."""

_METHODS = ("features", "head")
"""What is called of a discriminator; other networks are called themselves."""


class Compilation:
    """Networks whose calls are compiled inside `update`, and eager elsewhere: in grids, metrics and warnings.

    Compiled networks have no second derivatives, so updates with a gradient penalty are eager as well; and so are
    those in a fade of growing networks, whose weight is a constant of the compiled code. A call is compiled again for
    inputs of another size, another stage of a growing network, and frozen weights; after 8 forms, PyTorch's limit,
    extra ones are eager.

    Args:
        networks: The networks; their parameters, names and states do not change.
        graphs: Whether to record CUDA graphs, which removes the time between kernels of small networks.
        backend: Backend of torch.compile.
    """

    def __init__(self, networks: Iterable[nn.Module], graphs: bool = False, backend: str = "inductor") -> None:
        import torch._inductor.config

        torch._inductor.config.fallback_random = True  # dropout draws the same numbers as in eager networks
        self._active = False
        self._graphs = graphs
        self._before = _count()
        networks = list(networks)
        self._growing = [part for network in networks for part in growing_networks(network)]
        options: dict[str, Any] = {"mode": "reduce-overhead"} if graphs else {}
        for network in networks:
            for name in _METHODS if hasattr(network, "features") else ("forward",):
                eager = getattr(network, name)
                setattr(network, name, self._either(eager, torch.compile(eager, backend=backend, **options)))

    def _either(self, eager: Callable[..., Any], compiled: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return (compiled if self._active else eager)(*args, **kwargs)

        return call

    @contextmanager
    def update(self, second_derivatives: bool) -> Iterator[None]:
        """Compile calls in the block, which is one update.

        Args:
            second_derivatives: Whether the update needs them; then its calls are eager.
        """
        if self._graphs:
            torch.compiler.cudagraph_mark_step_begin()
        fading = any(network.stage.alpha < 1 for network in self._growing)
        self._active = not second_derivatives and not fading
        try:
            yield
        finally:
            self._active = False

    @property
    def compiled_graphs(self) -> int:
        """How many graphs were compiled since the start; it stops growing after the first batches."""
        return _count() - self._before


def check_compiler(device: torch.device) -> None:
    """Check that code for the device can be compiled.

    Raises:
        ConfigError: There is no compiler.
    """
    if device.type == "cpu" and not any(map(shutil.which, (os.environ.get("CXX") or "g++", "g++", "clang++"))):
        raise ConfigError(
            "hardware.compile needs a C++ compiler on a CPU, and there is none: install g++, or use false."
        )
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise ConfigError("hardware.compile needs the package triton on a GPU: install it, or use false.")


def _count() -> int:
    """Graphs that this process has compiled."""
    from torch._dynamo.utils import counters

    return counters["stats"]["unique_graphs"]
