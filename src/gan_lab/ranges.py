"""Range checks for constructors. Messages name the config key."""


def require_range(key: str, value: float, in_range: bool, allowed: str) -> None:
    """Refuse a number that is out of range, infinite or NaN.

    Args:
        key: Config key of the value.
        value: The number.
        in_range: Whether the number is in the allowed range.
        allowed: The allowed range for the message, such as `in (0, 1]`.

    Raises:
        ValueError: Names the key and what is allowed.
    """
    if not (in_range and abs(value) < float("inf")):
        finite = " and finite" if abs(value) == float("inf") else ""
        raise ValueError(f"{key}={value} is not allowed: it must be {allowed}{finite}")


def require_at_least(key: str, value: float, lowest: float) -> None:
    """Refuse a number below `lowest`, infinite or NaN.

    Raises:
        ValueError: Names the key and what is allowed.
    """
    require_range(key, value, value >= lowest, f"at least {lowest}")


def require_positive(key: str, value: float, or_null: str = "") -> None:
    """Refuse a number that is not positive and finite.

    Args:
        key: Config key of the value.
        value: The number.
        or_null: Meaning of null for the message, if null is allowed.

    Raises:
        ValueError: Names the key and what is allowed.
    """
    require_range(key, value, value > 0, f"greater than 0{or_null and f', or null for {or_null}'}")
