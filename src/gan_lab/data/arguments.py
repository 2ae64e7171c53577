"""Checks of the values under `dataset` in the config."""

from collections.abc import Sequence

from gan_lab.errors import ConfigError, DataError


def check_choice(key: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse a word that is not among the allowed ones."""
    if value not in allowed:
        raise ConfigError(f"{key}={value} is not known; choose one of {', '.join(allowed)}.")


def check_at_least(key: str, value: int, lowest: int) -> None:
    """Refuse a number below the lowest that makes sense."""
    if value < lowest:
        raise ConfigError(f"{key}={value} is too small; give {lowest} or more.")


def require_count(count: int | None) -> int:
    """The number of real samples to take from a set without an end.

    Raises:
        DataError: None is given.
    """
    if count is None:
        raise DataError("evaluation.real_images=null is all of the data set, but this one has no end; give a number.")
    return count
