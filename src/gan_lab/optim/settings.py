"""Scheduled settings of an optimizer's parameter groups, by name."""

from typing import Any

BETAS = ("beta1", "beta2")
"""Names of Adam's betas. Their setting is 1 - beta, so that a positive factor changes the time scale of an average."""


def has_setting(group: dict[str, Any], name: str) -> bool:
    """Whether a parameter group has a setting: `lr`, `momentum`, ..., `beta1`, `beta2`."""
    return "betas" in group if name in BETAS else name in group


def get_setting(group: dict[str, Any], name: str) -> float:
    """Value of a setting; 1 - beta for a beta."""
    return 1 - group["betas"][BETAS.index(name)] if name in BETAS else group[name]


def set_setting(group: dict[str, Any], name: str, value: float) -> None:
    """Change a setting to the value of `get_setting`; a beta is at least 0."""
    if name in BETAS:
        betas = list(group["betas"])
        betas[BETAS.index(name)] = max(0.0, 1 - value)
        group["betas"] = tuple(betas)
    else:
        group[name] = value
