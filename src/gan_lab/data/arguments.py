"""Checks of the values under `dataset` in the config."""

from collections.abc import Sequence

from gan_lab.errors import ConfigError, DataError


def check_choice(key: str, value: str, allowed: Sequence[str]) -> None:
    """Raise ConfigError if the value is not one of the allowed ones."""
    if value not in allowed:
        raise ConfigError(f"{key}={value} is not known; choose one of {', '.join(allowed)}.")


def check_at_least(key: str, value: int, lowest: int) -> None:
    """Raise ConfigError if the value is below the lowest allowed one."""
    if value < lowest:
        raise ConfigError(f"{key}={value} is too small; give {lowest} or more.")


def require_count(count: int | None) -> int:
    """The number of real samples to take from a data set of unlimited size.

    Raises:
        DataError: The count is None.
    """
    if count is None:
        raise DataError(
            "evaluation.real_images=null means the complete data set, but this one is unlimited; give a number."
        )
    return count
