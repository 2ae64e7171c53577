"""Guard that hides a torchvision that cannot be imported.

Lightning and torchmetrics import torchvision if it is installed, and fail if it was built for another torch, for
instance a CUDA build of torchvision with a CPU build of torch. gan_lab does not need it.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

TRIGGERS = {"lightning", "lightning_utilities", "pytorch_lightning", "torchmetrics"}


class _Guard(MetaPathFinder):
    """Try to import torchvision once, just before the first package that would import it; finds no modules itself."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in TRIGGERS:
            sys.meta_path.remove(self)
            if find_spec("torchvision") is not None:
                _hide_if_broken()
        return None


def _hide_if_broken() -> None:
    try:
        import torchvision  # noqa: F401
    except Exception:  # an ImportError, or a RuntimeError from the registration of its operators
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        sys.modules["torchvision"] = None  # type: ignore[assignment]  # marks the module as missing for the import system
        _hide_version()


def _hide_version() -> None:
    import importlib.metadata  # takes longer than all other imports of the command line

    original = importlib.metadata.version

    def version(distribution_name: str) -> str:
        if distribution_name == "torchvision":
            raise importlib.metadata.PackageNotFoundError(distribution_name)
        return original(distribution_name)

    importlib.metadata.version = version


def install() -> None:
    """Install the guard; cheap, and without effect until Lightning is imported."""
    if not TRIGGERS & set(sys.modules):
        sys.meta_path.insert(0, _Guard())
