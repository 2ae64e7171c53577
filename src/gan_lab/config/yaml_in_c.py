"""Lets OmegaConf parse with LibYAML, as it does itself from version 2.4 on. Composing a config takes half the time."""

import functools
from typing import Any

import omegaconf._utils
import yaml


def use_libyaml() -> None:
    """Replace OmegaConf's loader, if PyYAML has LibYAML; repeated calls change nothing."""
    if hasattr(yaml, "CSafeLoader"):
        omegaconf._utils.get_yaml_loader = _loader


_python_loader = omegaconf._utils.get_yaml_loader


@functools.cache
def _loader() -> Any:
    """OmegaConf's loader with the parser in C: same values, and the same errors for keys given twice."""
    from yaml.cyaml import CParser  # type: ignore[attr-defined]

    class Loader(CParser, _python_loader()):  # type: ignore[misc]
        def __init__(self, stream: Any) -> None:
            CParser.__init__(self, stream)
            yaml.constructor.SafeConstructor.__init__(self)
            yaml.resolver.Resolver.__init__(self)

    return Loader
