"""Bitwise comparison of nested results of two runs."""

from collections.abc import Iterator
from typing import Any

import torch


def plain(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a checkpoint without the config, which contains the folder."""
    return {key: value for key, value in content.items() if key != "gan_lab"}


def unequal(a: Any, b: Any, key: str = "") -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        for name in a.keys() | b.keys():
            yield from unequal(a.get(name), b.get(name), f"{key}.{name}")
    elif isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        for number, pair in enumerate(zip(a, b, strict=True)):
            yield from unequal(*pair, f"{key}[{number}]")
    elif isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if not torch.equal(a, b):
            yield key
    elif a != b:
        yield f"{key}: {a} and {b}"
