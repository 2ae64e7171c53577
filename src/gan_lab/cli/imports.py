"""Imports what needs PyTorch and Lightning, which is most of the time until a command begins."""

import atexit
import gc
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial, wraps
from importlib import import_module
from importlib.util import find_spec
from types import FunctionType, ModuleType
from typing import Any

from gan_lab.cli.deferred import Deferred, defer, end_deferral

_FILE: Any = io.IOBase.__base__  # a base class of all files whose subclasses are found quickly


def import_heavy(name: str) -> ModuleType:
    """The module `name`, imported in less time than by Python alone.

    Garbage collection visits the objects of PyTorch's modules many times while they are imported and once more when
    the process exits, although they are needed until then. So it waits, and leaves them out afterwards.
    """
    if name in sys.modules or "torch" in sys.modules:
        return import_module(name)
    gc.disable()
    try:
        with _unused_is_not_imported():
            return import_module(name)
    finally:
        gc.freeze()
        gc.enable()
        atexit.register(_write_buffers)


def _write_buffers() -> None:
    """Write what is in the buffers of open files.

    Python does it when it frees a file. A file is not freed, not even when the process exits, if an object refers to it
    that the garbage collection leaves out.
    """
    for each in gc.get_objects():
        if issubclass(type(each), _FILE):
            with suppress(Exception):  # closed, or not open for writing
                each.flush()


@contextmanager
def _unused_is_not_imported() -> Iterator[None]:
    """Defer modules that take long to import, and of which little is used.

    scipy.signal takes half a second. torchmetrics only gives it an old name of a function for another package; it is
    deferred within the block. torch._dynamo, the front of `torch.compile`, takes eight tenths. Lightning only asks
    whether a module is compiled, and optimizers name what should not be compiled.
    """
    if "scipy.signal" not in sys.modules and find_spec("scipy") is not None:
        defer("scipy.signal", partial(Deferred, "scipy.signal", hamming=None))
    defer("torch._dynamo", _Dynamo)
    try:
        yield
    finally:
        end_deferral("scipy.signal")


class _Dynamo(Deferred):
    """torch._dynamo, deferred until something is compiled."""

    _when_imported: list[Callable[[Any], None]]

    def __init__(self) -> None:
        super().__init__(
            "torch._dynamo",
            OptimizedModule=_OptimizedModule,
            graph_break=lambda *_, **__: None,  # there is no graph yet
            _when_imported=[],
        )

    def disable(self, fn: Any = None, recursive: bool = True, *, wrapping: bool = True, **options: Any) -> Any:
        """The function, which is not compiled when dynamo comes."""
        if not isinstance(fn, FunctionType):
            return self.imported().disable(fn, recursive, wrapping=wrapping, **options)
        called = [fn]

        @wraps(fn)
        def disabled(*arguments: Any, **keywords: Any) -> Any:
            return called[0](*arguments, **keywords)

        def disable(dynamo: Any) -> None:
            called[0] = dynamo.disable(fn, recursive, wrapping=wrapping, **options)

        self._when_imported.append(disable)
        return disabled

    def _was_imported(self, module: Any) -> None:
        for disable in self._when_imported:
            disable(module)
        self._when_imported.clear()


class _CompiledModules(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return cls.__subclasscheck__(type(instance))

    def __subclasscheck__(cls, subclass: type) -> bool:
        dynamo: Any = sys.modules["torch._dynamo"]
        return not isinstance(dynamo, _Dynamo) and issubclass(subclass, dynamo.OptimizedModule)


class _OptimizedModule(metaclass=_CompiledModules):
    """Class of compiled modules, of which there is none before dynamo was imported."""
