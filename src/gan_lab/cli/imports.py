"""Imports what needs PyTorch and Lightning, which is most of the time until a command begins."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

UNUSED = "scipy.signal"
"""Half a second to import. torchmetrics only gives it an old name of a function for another package."""


def import_heavy(name: str) -> ModuleType:
    """The module `name`, imported in two thirds of the time.

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


@contextmanager
def _unused_is_not_imported() -> Iterator[None]:
    """Replace `scipy.signal` within the block by a module that imports it when one of its names is read."""

    def imported(attribute: str) -> Any:
        if attribute.startswith("__") and attribute not in ("__path__", "__all__"):  # read by `inspect` of all modules
            raise AttributeError(attribute)
        remove()
        return getattr(import_module(UNUSED), attribute)

    def remove() -> None:
        if sys.modules.get(UNUSED) is stand_in:
            del sys.modules[UNUSED]

    if UNUSED in sys.modules or find_spec("scipy") is None:
        yield
        return
    stand_in: Any = ModuleType(UNUSED)
    stand_in.hamming = None
    stand_in.__spec__ = find_spec(UNUSED)
    stand_in.__getattr__ = imported
    sys.modules[UNUSED] = stand_in
    try:
        yield
    finally:
        remove()
