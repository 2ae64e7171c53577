"""Values of requests of the page, checked: a request is JSON that anything may have sent."""

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from gan_lab.errors import ConfigError

Request = Mapping[str, Any]


def integer(request: Request, key: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`.

    Raises:
        ConfigError: It is missing, or something else.
    """
    value = request.get(key)
    if type(value) is not int or not low <= value <= high:
        raise ConfigError(f"{key} must be a whole number from {low} to {high}.")
    return value


def number(request: Request, key: str, low: float, high: float) -> float:
    """A number from `low` to `high`.

    Raises:
        ConfigError: It is missing, or something else.
    """
    value = request.get(key)
    if not _is_number(value) or not low <= value <= high:
        raise ConfigError(f"{key} must be a number from {low:g} to {high:g}.")
    return float(value)


def numbers(request: Request, key: str, count: int, low: float, high: float) -> list[float]:
    """A list of `count` numbers from `low` to `high`.

    Raises:
        ConfigError: It is missing, or something else.
    """
    values = request.get(key)
    if not isinstance(values, list) or len(values) != count or not all(map(_is_number, values)):
        raise ConfigError(f"{key} must be a list of {count} numbers.")
    if not all(low <= value <= high for value in values):
        raise ConfigError(f"{key} must be numbers from {low:g} to {high:g}.")
    return [float(value) for value in values]


def integers(request: Request, key: str, low: int, high: int, most: int) -> list[int]:
    """A list of at most `most` different whole numbers from `low` to `high`.

    Raises:
        ConfigError: It is missing, or something else.
    """
    values = request.get(key)
    if not isinstance(values, list) or not all(type(value) is int and low <= value <= high for value in values):
        raise ConfigError(f"{key} must be a list of whole numbers from {low} to {high}.")
    if len(set(values)) != len(values) or len(values) > most:
        raise ConfigError(f"{key} must be at most {most} different numbers.")
    return values


def texts(request: Request, key: str, most: int) -> list[str]:
    """A list of 1 to `most` texts.

    Raises:
        ConfigError: It is missing, or something else.
    """
    values = request.get(key)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ConfigError(f"{key} must be a list of texts.")
    if not 1 <= len(values) <= most:
        raise ConfigError(f"{key} must be 1 to {most} samples.")
    return values


def mapping(request: Request, key: str) -> Request:
    """A mapping.

    Raises:
        ConfigError: It is missing, or something else.
    """
    value = request.get(key)
    if not isinstance(value, dict):
        raise ConfigError(f"{key} must be a mapping.")
    return value


def _is_number(value: Any) -> TypeGuard[int | float]:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number above all floats
        return False
