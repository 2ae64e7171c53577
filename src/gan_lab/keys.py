"""Dotted keys of nested configs."""

from collections.abc import Iterator, Mapping
from typing import Any


def entries(node: Any, prefix: str = "", lists: bool = False) -> Iterator[tuple[str, Any]]:
    """Dotted key and value of every entry of a config, each container before its entries.

    Args:
        node: A mapping; with `lists`, also a list.
        prefix: The key of the node itself.
        lists: Also descend into lists; positions are the names of their entries.
    """
    children = enumerate(node) if isinstance(node, list) else node.items()
    for name, child in children:
        key = f"{prefix}.{name}" if prefix else str(name)
        yield key, child
        if _is_container(child, lists):
            yield from entries(child, key, lists)


def leaves(node: Any, prefix: str = "", lists: bool = False) -> Iterator[tuple[str, Any]]:
    """Dotted key and value of every entry that is not a container; empty containers are skipped."""
    return ((key, value) for key, value in entries(node, prefix, lists) if not _is_container(value, lists))


def _is_container(value: Any, lists: bool) -> bool:
    return isinstance(value, Mapping) or (lists and isinstance(value, list))
