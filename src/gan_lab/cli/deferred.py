"""Modules that are imported at the first use of a name that is not given for them."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class Deferred(ModuleType):
    """Stands for a module until one of its other names is read, or a module in it imported.

    Args:
        name: The module's; the package that it is in is imported.
        names: Names that can be read before the import, with their values.
    """

    def __init__(self, name: str, **names: Any) -> None:
        super().__init__(name)
        self.__spec__ = find_spec(name)
        self.__path__: list[str] = []
        vars(self).update(names)

    def imported(self) -> Any:
        """The module itself, which replaces this one."""
        self.remove()
        module = import_module(self.__name__)
        self._was_imported(module)
        return module

    def remove(self) -> None:
        """Leave the place to the module, which is then imported as usual."""
        name = self.__name__
        if sys.modules.get(name) is not self:
            return
        del sys.modules[name]
        package, _, own = name.rpartition(".")
        if vars(sys.modules[package]).get(own) is self:
            delattr(sys.modules[package], own)

    def _was_imported(self, module: Any) -> None:
        """Called once the module was imported."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":  # read by `inspect` of all modules
            raise AttributeError(name)
        return getattr(self.imported(), name)


def defer(module: Deferred) -> Deferred:
    """Put the module in the place of the one that it stands for."""
    sys.modules[module.__name__] = module
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    return module


class _Inside(MetaPathFinder):
    """Finds modules in deferred packages, once these were imported."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        package = sys.modules.get(name.rpartition(".")[0])
        if not isinstance(package, Deferred):
            return None
        package.imported()
        if name in sys.modules:  # imported by its package, and not to be executed again
            return ModuleSpec(name, _Imported(sys.modules[name]))
        return find_spec(name)


class _Imported(Loader):
    """Gives a module that was imported already.

    Python prefers the specification of a module that appears while it is searched for, so the module has none for a
    moment.
    """

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.spec = module.__spec__
        module.__spec__ = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


_FINDER = _Inside()
