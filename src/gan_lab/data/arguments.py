"""Checks of the values under `dataset` in the config."""

from collections.abc import Sequence

from gan_lab.errors import ConfigError


def check_choice(key: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse a word that is not among the allowed ones."""
    if value not in allowed:
        raise ConfigError(f"{key}={value} is not known; choose one of {', '.join(allowed)}.")


def check_at_least(key: str, value: int, lowest: int) -> None:
    """Refuse a number below the lowest that makes sense."""
    if value < lowest:
        raise ConfigError(f"{key}={value} is too small; give {lowest} or more.")
