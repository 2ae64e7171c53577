"""gan_lab: GAN variants as Lightning modules that Hydra composes."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gan_lab import torchvision_guard
from gan_lab.version import __version__

if TYPE_CHECKING:
    from gan_lab.api import (
        arithmetic,
        bench,
        compare,
        directions,
        duplicates,
        evaluate,
        explore,
        export,
        fit,
        forget,
        import_weights,
        interpolate,
        invert,
        list_choices,
        list_runs,
        memorization,
        new,
        prepare,
        probe,
        push,
        report,
        sample,
        translate,
        visualize,
    )
    from gan_lab.config.compose import compose, config_dir
    from gan_lab.sampling.pretrained import PretrainedGenerator, load
    from gan_lab.sampling.translators import Translator, load_translator

__all__ = [
    "PretrainedGenerator",
    "Translator",
    "__version__",
    "arithmetic",
    "bench",
    "compare",
    "compose",
    "config_dir",
    "directions",
    "duplicates",
    "evaluate",
    "explore",
    "export",
    "fit",
    "forget",
    "import_weights",
    "interpolate",
    "invert",
    "list_choices",
    "list_runs",
    "load",
    "load_translator",
    "memorization",
    "new",
    "prepare",
    "probe",
    "push",
    "report",
    "sample",
    "translate",
    "visualize",
]

_ELSEWHERE = (
    {"compose": "config.compose", "config_dir": "config.compose"}
    | dict.fromkeys(["PretrainedGenerator", "load"], "sampling.pretrained")
    | dict.fromkeys(["Translator", "load_translator"], "sampling.translators")
)
"""Names that are not in `gan_lab.api`, and the modules that they are in."""

torchvision_guard.install()


def __getattr__(name: str) -> Any:
    # `import gan_lab` stays light: torch and Lightning come with the first use.
    if name not in __all__:
        raise AttributeError(f"module 'gan_lab' has no attribute '{name}'")
    return getattr(import_module(f"gan_lab.{_ELSEWHERE.get(name, 'api')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
