"""gan_lab: GAN variants as Lightning modules that Hydra composes."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gan_lab import torchvision_guard

if TYPE_CHECKING:
    from gan_lab.config.load import Loaded, load

__version__ = "0.1.0"
__all__ = ["Loaded", "__version__", "load"]

torchvision_guard.install()


def __getattr__(name: str) -> Any:
    # `import gan_lab` stays light: torch and Lightning come with the first use.
    if name in ("load", "Loaded"):
        return getattr(import_module("gan_lab.config.load"), name)
    raise AttributeError(f"module 'gan_lab' has no attribute '{name}'")
