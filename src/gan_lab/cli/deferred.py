"""Modules that are imported at the first use of a name that is not given for them."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_OF_IMPORT = {"__spec__", "__loader__", "__package__", "__path__", "__file__", "__cached__"}
"""Names that Python assigns to a module which it imports."""


class Deferred(ModuleType):
    """Stands for a module until another of its names is read, one is assigned, or a module in it is imported.

    Args:
        name: The module's.
        names: Names that can be read before the import, with their values.
    """

    def __init__(self, name: str, **names: Any) -> None:
        super().__init__(name)
        vars(self).update(names)

    def imported(self) -> Any:
        """The module itself, which replaces this one."""
        end_deferral(self.__name__)
        module = import_module(self.__name__)
        self._was_imported(module)
        return module

    def _was_imported(self, module: Any) -> None:
        """Called once the module was imported."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":  # read by `inspect` of all modules
            raise AttributeError(name)
        return getattr(self.imported(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OF_IMPORT:
            super().__setattr__(name, value)
        else:
            setattr(self.imported(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.imported(), name)

    def __dir__(self) -> list[str]:
        return dir(self.imported())


def defer(name: str, stand_in: Callable[[], Deferred]) -> None:
    """From now on, an import of this module gives what `stand_in` returns."""
    _FINDER.stand_ins[name] = stand_in
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def end_deferral(name: str) -> None:
    """From now on, an import of this module imports it."""
    _FINDER.stand_ins.pop(name, None)
    if isinstance(stand_in := sys.modules.get(name), Deferred):
        del sys.modules[name]
        package, _, own = name.rpartition(".")
        if vars(sys.modules[package]).get(own) is stand_in:
            delattr(sys.modules[package], own)


class _Finder(MetaPathFinder):
    """Finds deferred modules, and modules in them, once these were imported."""

    def __init__(self) -> None:
        self.stand_ins: dict[str, Callable[[], Deferred]] = {}

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name in self.stand_ins:
            return ModuleSpec(name, _Given(self.stand_ins.pop(name)()), is_package=True)
        package = sys.modules.get(name.rpartition(".")[0])
        if not isinstance(package, Deferred):
            return None
        package.imported()
        if name in sys.modules:  # imported by its package, and not to be executed again
            return ModuleSpec(name, _Given(sys.modules[name]))
        return find_spec(name)


class _Given(Loader):
    """Gives a module that exists already.

    Python prefers the specification of a module that appears while it is searched for, so the module has none for a
    moment. It may have none at all, and refuse attributes, as modules of settings do in PyTorch.
    """

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.spec = vars(module).pop("__spec__", None)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        if self.spec is not None:
            vars(module)["__spec__"] = self.spec


_FINDER = _Finder()
