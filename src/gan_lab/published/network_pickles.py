"""Pickles of published networks, read without running code: plain data, tensors, arrays, and records of objects."""

import io
import math
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from gan_lab import plain_pickle
from gan_lab.errors import CheckpointError
from gan_lab.plain_pickle import ARRAYS, Built, Calls, checked

MAX_MODULES = 10_000
"""Most modules of a network."""


@dataclass
class Record(Built):
    """An object of a class that is not imported.

    Attributes:
        name: Name of the class, which is not checked: any file can contain any name.
        state: Attributes of the object.
    """

    name: str
    state: dict[str, Any] = field(default_factory=dict)

    def build(self, state: Any) -> None:
        """Add attributes."""
        self.state.update(checked(state, dict))


def read_pickle(file: Path) -> Any:
    """Content of a pickle: plain containers, numbers, strings, tensors on the CPU, NumPy arrays, and records.

    It can name the keys of `CALLS` only, whose values are functions of this file. Classes of NVIDIA's networks become
    records; the source code in them is not read.

    Raises:
        CheckpointError: The file is damaged, contains another global, or is not a pickle of such a network.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of typed storages, which these files contain
        return plain_pickle.read_pickle(file, CALLS, CheckpointError)


def tensors_of(network: Record, file: Path) -> dict[str, torch.Tensor]:
    """Parameters and buffers of a module and its submodules, by dotted name.

    Raises:
        CheckpointError: The record is not a module, or has too many submodules.
    """
    found: dict[str, torch.Tensor] = {}
    pending, count = [("", network)], 0
    while pending:
        prefix, module = pending.pop()
        count += 1
        parts: list[Any] = [module.state.get(key) for key in ("_parameters", "_buffers", "_modules")]
        if count > MAX_MODULES or not all(isinstance(part, dict) for part in parts):
            raise CheckpointError(f"{file} has the module {prefix or network.name!r:.80} that cannot be used.")
        parameters, buffers, modules = parts
        for name, value in (parameters | buffers).items():
            if isinstance(value, torch.Tensor):
                found[f"{prefix}{name}"] = value
        pending += [(f"{prefix}{name}.", each) for name, each in modules.items() if isinstance(each, Record)]
    return found


def submodule(network: Record, name: str) -> Record | None:
    """The submodule with a dotted name, or None."""
    found: Any = network
    for part in name.split("."):
        modules = found.state.get("_modules") if isinstance(found, Record) else None
        found = modules.get(part) if isinstance(modules, dict) else None
    return found if isinstance(found, Record) else None


def _storage(content: bytes) -> Any:
    """A tensor's storage, which PyTorch writes as an archive of its own into the pickle."""
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> torch.Tensor:
    if math.prod(size) > len(storage):
        raise ValueError
    flat = torch.empty(0, dtype=storage.dtype).set_(storage.untyped())
    return flat.as_strided(size, stride, offset).clone()  # refuses places outside, for which `set_` makes room


def _persistent(meta: dict[str, Any]) -> Record:
    """An object of NVIDIA's `torch_utils.persistence`, which stores the source code of its class: that is dropped."""
    return Record(str(meta["class_name"]), checked(meta["state"], dict))


def _set(items: list[Any] | tuple[Any, ...] = ()) -> set[Any]:
    return set(checked(items, list | tuple))  # type: ignore[arg-type]


CALLS: Calls = {
    **ARRAYS,
    ("collections", "OrderedDict"): lambda: {},
    ("builtins", "set"): _set,
    ("dnnlib.util", "EasyDict"): lambda: {},
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: checked(tensor, torch.Tensor),
    ("torch.storage", "_load_from_bytes"): _storage,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent,
    ("dnnlib.tflib.network", "Network"): lambda: Record("dnnlib.tflib.network.Network"),
    ("tfutil", "Network"): lambda: Record("tfutil.Network"),
}
"""What a pickle may ask for, and what is called in its place."""
