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
    """OmegaConf's loader with the parser in C: same values, and the same errors for keys given twice.

    A value that contains itself by an alias is an error of the file; OmegaConf would convert it without end.
    """
    from yaml.cyaml import CParser  # type: ignore[attr-defined]

    class Loader(CParser, _python_loader()):  # type: ignore[misc]
        def __init__(self, stream: Any) -> None:
            CParser.__init__(self, stream)
            yaml.constructor.SafeConstructor.__init__(self)
            yaml.resolver.Resolver.__init__(self)

        def get_single_node(self) -> Any:
            node = super().get_single_node()
            _refuse_cycles(node, set(), set())
            return node

    return Loader


def _refuse_cycles(node: Any, around: set[int], checked: set[int]) -> None:
    """Raise a YAMLError for a node that contains itself; `around` are those around this one."""
    if id(node) in around:
        raise yaml.composer.ComposerError(None, None, "found a value that contains itself by an alias", node.start_mark)
    if id(node) in checked or not isinstance(node, yaml.CollectionNode):
        return
    parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    for part in parts:
        _refuse_cycles(part, around | {id(node)}, checked)
    checked.add(id(node))
