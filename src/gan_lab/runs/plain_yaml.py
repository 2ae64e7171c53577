"""YAML from files that may be damaged or from another person: plain data, of limited size, without aliases."""

from typing import Any

import yaml

MAX_CHARACTERS = 200_000
"""Longest text that is parsed; configs of runs have some thousands of characters."""

MAX_DEPTH = 100
"""Deepest nesting that is parsed."""


_FASTEST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""PyYAML's safe loader; the one in C, if it is installed."""


def parse_yaml(text: str) -> Any:
    """Contents of a YAML text: mappings, lists and scalars.

    Raises:
        yaml.YAMLError: See `check_yaml`.
        ValueError: A scalar is not valid, such as a date in month 13.
    """
    check_yaml(text)
    loader = _FASTEST(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def check_yaml(text: str) -> None:
    """Check the syntax and the limits of a YAML text before it is parsed.

    An alias repeats an earlier part of the text, so a few lines can stand for billions of values. The configs of
    gan_lab contain none.

    Raises:
        yaml.YAMLError: The text is not valid YAML, is longer or deeper nested than the limits, or contains an alias.
    """
    if len(text) > MAX_CHARACTERS:
        raise yaml.YAMLError(f"it has {len(text):,} characters, more than the limit of {MAX_CHARACTERS:,}")
    depth = 0
    for event in yaml.parse(text, _FASTEST):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"it has an alias (*{event.anchor}), which is not allowed")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise yaml.YAMLError(f"it is nested deeper than {MAX_DEPTH} levels")
