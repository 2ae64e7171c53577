"""Reader of pickles of published networks that runs no code: plain data, tensors and arrays."""

import io
import math
import pickletools
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from gan_lab.errors import CheckpointError, is_out_of_memory

MAX_OPERATIONS = 2_000_000
"""Most operations in a file that are read. StyleGAN2 for 1024 pixels has about 30,000."""

MAX_MODULES = 10_000
"""Most modules of a network."""


@dataclass
class Record:
    """An object of a class that is not imported.

    Attributes:
        name: Name of the class, which is not checked: any file can contain any name.
        state: Attributes of the object.
    """

    name: str
    state: dict[str, Any] = field(default_factory=dict)


def read_pickle(file: Path) -> Any:
    """Content of a pickle: plain containers, numbers, strings, tensors on the CPU, NumPy arrays, and records.

    The pickle is interpreted here, and not by Python's `pickle`. It can name the functions in `CALLS` only, which are
    functions of this file. Classes of NVIDIA's networks become records; the source code in them is not read.

    Raises:
        CheckpointError: The file is damaged, contains another global, or is not a pickle of such a network.
    """
    try:
        with file.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of typed storages, which these files contain
            return _Machine(file).run(stream)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}.") from error
    except Exception as error:  # damage can end in any operation
        if is_out_of_memory(error):
            raise
        raise CheckpointError(f"{file} cannot be read: it is truncated, damaged, or not a pickle.") from error


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


@dataclass(frozen=True)
class _Global:
    name: str
    call: Callable[..., Any]


@dataclass
class _Dtype:
    """Type of an array: numbers and booleans only."""

    code: str
    order: str = "|"

    def build(self, state: Any) -> None:
        self.order = state[1]

    def to_numpy(self) -> np.dtype[Any]:
        if not re.fullmatch("[fiub][1248]", self.code) or self.order not in ("<", ">", "|", "="):
            raise ValueError(self.code)
        return np.dtype(self.order + self.code)


class _Array:
    """Placeholder of an array, whose content follows in the file."""

    value: np.ndarray[Any, Any]

    def build(self, state: Any) -> None:
        _, shape, dtype, is_fortran, content = state
        self.value = np.frombuffer(content, dtype.to_numpy()).reshape(shape, order="F" if is_fortran else "C").copy()


class _Machine:
    """Interpreter of the operations of a pickle that such files contain."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        """Stacks below the marks."""
        self.memo: dict[int, Any] = {}

    def run(self, stream: BinaryIO) -> Any:
        for number, (operation, argument, _) in enumerate(pickletools.genops(stream)):
            name = operation.name
            if number >= MAX_OPERATIONS:
                raise CheckpointError(f"{self.file} has more than {MAX_OPERATIONS:,} operations and is not read.")
            if name == "STOP":
                return _resolved(self.stack.pop())
            if name in _VALUES:
                self.stack.append(argument)
            elif name in _NEW:
                self.stack.append(_NEW[name]())
            elif name in _OPERATIONS:
                _OPERATIONS[name](self, argument)
            elif name not in ("PROTO", "FRAME"):
                raise CheckpointError(f"{self.file} contains the pickle operation {name}, which is not allowed.")
        raise EOFError

    def mark(self, _: Any) -> None:
        self.outer.append(self.stack)
        self.stack = []

    def to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.outer.pop()
        return [_resolved(item) for item in items]

    def last(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return [_resolved(item) for item in items]

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def extend(self, items: list[Any]) -> None:
        _checked(self.stack[-1], list).extend(items)

    def add(self, items: list[Any]) -> None:
        _checked(self.stack[-1], set).update(items)

    def set_items(self, items: list[Any]) -> None:
        _checked(self.stack[-1], dict).update(zip(items[::2], items[1::2], strict=True))

    def remember(self, place: int | None) -> None:
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def find(self, module: str, name: str) -> None:
        if (module, name) not in CALLS:
            raise CheckpointError(
                f"{self.file} asks for {module!s:.80}.{name!s:.80}, which published networks do not contain; no code "
                "of the file was run."
            )
        self.stack.append(_Global(name, CALLS[module, name]))

    def call(self, _: Any) -> None:
        function, arguments = self.last(2)
        self.stack.append(_checked(function, _Global).call(*_checked(arguments, tuple)))

    def build(self, _: Any) -> None:
        (state,) = self.last(1)
        target = self.stack[-1]
        if isinstance(target, Record):
            target.state.update(_checked(state, dict))
        elif isinstance(target, _Dtype | _Array):
            target.build(state)
        else:
            raise TypeError


_VALUES = {
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "SHORT_BINBYTES", "BINBYTES", "BINBYTES8",
}  # fmt: skip
"""Operations that put their argument onto the stack."""

_NEW: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}

_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "TUPLE": lambda machine, _: machine.push(tuple(machine.to_mark())),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.last(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.last(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.last(3))),
    "APPEND": lambda machine, _: machine.extend(machine.last(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.to_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.last(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.to_mark()),
    "ADDITEMS": lambda machine, _: machine.add(machine.to_mark()),
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "MEMOIZE": _Machine.remember,
    "BINGET": lambda machine, place: machine.push(machine.memo[place]),
    "LONG_BINGET": lambda machine, place: machine.push(machine.memo[place]),
    "GLOBAL": lambda machine, names: machine.find(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.find(*machine.last(2)),
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "BUILD": _Machine.build,
}


def _resolved(value: Any) -> Any:
    return value.value if isinstance(value, _Array) else value


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _storage(content: bytes) -> Any:
    """A tensor's storage, which PyTorch writes as an archive of its own into the pickle."""
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> torch.Tensor:
    if math.prod(size) > len(storage):
        raise ValueError
    return torch.empty(0, dtype=storage.dtype).set_(storage.untyped(), offset, size, stride).clone()


def _persistent(meta: dict[str, Any]) -> Record:
    """An object of NVIDIA's `torch_utils.persistence`, which stores the source code of its class: that is dropped."""
    return Record(str(meta["class_name"]), _checked(meta["state"], dict))


def _set(items: list[Any] | tuple[Any, ...] = ()) -> set[Any]:
    return set(_checked(items, list | tuple))  # type: ignore[arg-type]


def _scalar(dtype: _Dtype, content: bytes) -> Any:
    (value,) = np.frombuffer(content, dtype.to_numpy())
    return value.item()


CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): lambda: {},
    ("builtins", "set"): _set,
    ("dnnlib.util", "EasyDict"): lambda: {},
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: _checked(tensor, torch.Tensor),
    ("torch.storage", "_load_from_bytes"): _storage,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent,
    ("dnnlib.tflib.network", "Network"): lambda: Record("dnnlib.tflib.network.Network"),
    ("tfutil", "Network"): lambda: Record("tfutil.Network"),
    ("numpy", "ndarray"): lambda: None,
    ("numpy", "dtype"): lambda code, *_: _Dtype(_checked(code, str)),
    **{(f"numpy.{core}.multiarray", "_reconstruct"): lambda *_: _Array() for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
}
"""What a pickle may ask for, and what is called in its place."""
