"""Reader of pickles that runs no code: plain containers, numbers, text and NumPy arrays. Does not import torch."""

import os
import pickletools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from gan_lab.errors import DataError, UserError, is_out_of_memory

MAX_OPERATIONS = 2_000_000
"""Most operations in a file that are read. StyleGAN2 for 1024 pixels has about 30,000, a batch of ImageNet 130,000."""

Calls = Mapping[tuple[str, str], Callable[..., Any]]
"""Module and name of what a pickle may ask for, and what is called in its place."""


def read_pickle(file: Path, calls: Calls | None = None, error: type[UserError] = DataError) -> Any:
    """Content of a pickle.

    The pickle is interpreted here, and not by Python's `pickle`. It can ask for the keys of `calls` only, in whose
    place the values are called. Text of Python 2 is read as Latin-1.

    Args:
        file: Path of the file.
        calls: By default `ARRAYS`.
        error: Type of the errors.

    Raises:
        UserError: Of the type `error`: the file is damaged, asks for anything else, or is not a pickle.
    """
    try:
        with file.open("rb") as stream:
            return _Machine(file, ARRAYS if calls is None else calls, error).run(_Bounded(stream))
    except UserError:
        raise
    except OSError as failure:
        raise error(f"{file} cannot be read: {failure.strerror}.") from failure
    except Exception as failure:  # damage can end in any operation
        if is_out_of_memory(failure):
            raise
        raise error(f"{file} cannot be read: it is truncated, damaged, or not a pickle.") from failure


class _Bounded:
    """A file of which no more is requested than it has, whatever length stands in it: Python would allocate that."""

    def __init__(self, stream: BinaryIO) -> None:
        self.size = os.fstat(stream.fileno()).st_size
        self.stream = stream
        self.readline = stream.readline

    def read(self, count: int) -> bytes:
        return self.stream.read(min(count, self.size))


class Built:
    """An object whose state follows later in the pickle."""

    def build(self, state: Any) -> None:
        """Set the state."""
        raise NotImplementedError

    def resolved(self) -> Any:
        """The object in the content of the file."""
        return self


class _Dtype(Built):
    """Type of an array: numbers and booleans only."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.order = "|"

    def build(self, state: Any) -> None:
        self.order = state[1]

    def to_numpy(self) -> np.dtype[Any]:
        if not re.fullmatch("[fiub][1248]", self.code) or self.order not in ("<", ">", "|", "="):
            raise ValueError(self.code)
        return np.dtype(self.order + self.code)


class _Array(Built):
    """An array, whose content follows."""

    value: np.ndarray[Any, Any]

    def build(self, state: Any) -> None:
        _, shape, dtype, is_fortran, content = state
        content = content.encode("latin-1") if isinstance(content, str) else content
        self.value = np.frombuffer(content, dtype.to_numpy()).reshape(shape, order="F" if is_fortran else "C").copy()

    def resolved(self) -> np.ndarray[Any, Any]:
        return self.value


@dataclass(frozen=True)
class _Global:
    name: str
    call: Callable[..., Any]


class _Machine:
    """Interpreter of the operations of a pickle."""

    def __init__(self, file: Path, calls: Calls, error: type[UserError]) -> None:
        self.file = file
        self.calls = calls
        self.error = error
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []
        """Stacks below the marks."""
        self.memo: dict[int, Any] = {}

    def run(self, stream: _Bounded) -> Any:
        for number, (operation, argument, _) in enumerate(pickletools.genops(cast(BinaryIO, stream))):
            name = operation.name
            if number >= MAX_OPERATIONS:
                raise self.error(f"{self.file} has more than {MAX_OPERATIONS:,} operations and is not read.")
            if name == "STOP":
                return _resolved(self.stack.pop())
            if name in _VALUES:
                self.stack.append(argument)
            elif name in _NEW:
                self.stack.append(_NEW[name]())
            elif name in _OPERATIONS:
                _OPERATIONS[name](self, argument)
            elif name not in ("PROTO", "FRAME"):
                raise self.error(f"{self.file} contains the pickle operation {name}, which is not allowed.")
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
        checked(self.stack[-1], list).extend(items)

    def add(self, items: list[Any]) -> None:
        checked(self.stack[-1], set).update(items)

    def set_items(self, items: list[Any]) -> None:
        checked(self.stack[-1], dict).update(zip(items[::2], items[1::2], strict=True))

    def remember(self, place: int | None) -> None:
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def find(self, module: str, name: str) -> None:
        if (module, name) not in self.calls:
            raise self.error(
                f"{self.file} asks for {module!s:.80}.{name!s:.80}, which such files do not contain; no code of the "
                "file was run."
            )
        self.stack.append(_Global(name, self.calls[module, name]))

    def call(self, _: Any) -> None:
        function, arguments = self.last(2)
        self.stack.append(checked(function, _Global).call(*checked(arguments, tuple)))

    def build(self, _: Any) -> None:
        (state,) = self.last(1)
        checked(self.stack[-1], Built).build(state)


_VALUES = {
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "SHORT_BINSTRING", "BINSTRING",
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


def checked(value: Any, kind: type) -> Any:
    """The value, if it has this type.

    Raises:
        TypeError: It has another.
    """
    if not isinstance(value, kind):
        raise TypeError
    return value


def _resolved(value: Any) -> Any:
    return value.resolved() if isinstance(value, Built) else value


def _scalar(dtype: _Dtype, content: bytes) -> Any:
    (value,) = np.frombuffer(content, dtype.to_numpy())
    return value.item()


ARRAYS: Calls = {
    ("numpy", "ndarray"): lambda: None,
    ("numpy", "dtype"): lambda code, *_: _Dtype(checked(code, str)),
    **{(f"numpy.{core}.multiarray", "_reconstruct"): lambda *_: _Array() for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    # Bytes, in pickles of protocol 2 that Python 3 wrote.
    ("_codecs", "encode"): lambda text, _: checked(text, str).encode("latin-1"),
}
"""What the pickle of an array asks for."""
