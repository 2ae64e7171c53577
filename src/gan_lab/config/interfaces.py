"""Checks before a run that a component has what training uses; a message names the base class to derive from."""

from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch import Callback

from gan_lab.architectures.base import Discriminator
from gan_lab.augment.base import Augmentation
from gan_lab.data.base import TrainingData
from gan_lab.errors import ConfigError, first_line
from gan_lab.losses.base import AdversarialLoss, Loss
from gan_lab.regularizers.base import CheckedPenalty, Constraint, Penalty, Selection

INSTANCE_ATTRIBUTES: dict[type, tuple[str, ...]] = {TrainingData: ("spec", "budget_images", "batch_size")}
"""Attributes that the constructor of a class sets, in addition to those of the class."""


def check_loss(component: Any) -> None:
    """Refuse a loss that lacks a part of `AdversarialLoss`; one of several discriminators has methods of its own.

    Raises:
        ConfigError: Names what is missing, or the method that does not return a scalar with a gradient.
    """
    if getattr(component, "discriminators", 1) == 1:
        _check(component, "loss", AdversarialLoss, Loss)
        _try_loss(component, "discriminator", "real_logits", "fake_logits")
        _try_loss(component, "generator", "fake_logits", *(["real_logits"] if component.relative else []))


def _try_loss(loss: Any, method: str, *names: str) -> None:
    """Call a method of a loss with a few logits.

    Raises:
        ConfigError: It fails, or does not return a scalar tensor with a gradient.
    """
    logits = {name: torch.linspace(-1, 1, 4).requires_grad_() for name in names}
    where = f"loss is a {type(loss).__name__} whose {method}({', '.join(names)})"
    allowed = "it must take logits (n,) and return a scalar tensor with a gradient, such as a mean over the samples"
    try:
        with torch.random.fork_rng(devices=[]):
            value = getattr(loss, method)(*logits.values())
    except Exception as error:
        raise ConfigError(f"{where} fails with {type(error).__name__} ({first_line(error)}): {allowed}.") from error
    if not isinstance(value, torch.Tensor):
        raise ConfigError(f"{where} returned a {type(value).__name__}: {allowed}.")
    if value.dim() or not value.requires_grad:
        found = f"of shape {tuple(value.shape)}" if value.dim() else "without a gradient"
        raise ConfigError(f"{where} returned a tensor {found}: {allowed}.")


def check_augmentation(component: Any) -> None:
    """Refuse an augmentation that lacks a part of `Augmentation`.

    Raises:
        ConfigError: Names what is missing.
    """
    _check(component, "augment", Augmentation, Augmentation)


def check_regularizer(component: Any, key: str, kind: str) -> None:
    """Refuse a penalty, constraint or selection that lacks a part of its protocol.

    Raises:
        ConfigError: Names what is missing.
    """
    protocol = {"penalty": Penalty, "constraint": Constraint, "selection": Selection}[kind]
    _check(component, key, protocol, CheckedPenalty if kind == "penalty" else protocol)


def check_discriminator(network: Any) -> None:
    """Refuse a discriminator without `features` and `head`, or without the `output` that the usual `head` needs.

    Raises:
        ConfigError: Names what is missing.
    """
    usual = getattr(type(network), "head", None) is Discriminator.head
    names = ["features", "head", *(["output"] if usual else [])]
    _refuse_missing(network, "architecture.discriminator", names, Discriminator)


def check_data(component: Any) -> None:
    """Refuse a data module that lacks a part of `TrainingData`.

    Raises:
        ConfigError: Names what is missing.
    """
    _check(component, "dataset", TrainingData, TrainingData)


def check_callback(component: Any, key: str) -> None:
    """Refuse a callback that Lightning cannot call.

    Raises:
        ConfigError: Names the base class.
    """
    if not isinstance(component, Callback):
        raise ConfigError(
            f"{key} is a {type(component).__name__}, which is not a callback: derive the class from "
            "lightning.pytorch.Callback."
        )


def _check(component: Any, key: str, interface: type, base: type) -> None:
    _refuse_missing(component, key, _names(interface), base)


def _refuse_missing(component: Any, key: str, names: Iterable[str], base: type) -> None:
    existing = set(dir(component))  # without evaluating properties, which may read data
    if missing := [name for name in names if name not in existing]:
        raise ConfigError(
            f"{key} is a {type(component).__name__} without {', '.join(missing)}: derive the class from "
            f"{base.__module__}.{base.__qualname__}, which documents what training uses."
        )


def _names(interface: type) -> list[str]:
    """Public attributes and `__call__` that an interface and its bases within gan_lab declare."""
    declared: dict[str, None] = {}
    for each in interface.__mro__:
        if each.__module__.startswith("gan_lab."):
            names = [*vars(each), *(vars(each).get("__annotations__") or {})]
            declared |= dict.fromkeys(name for name in names if not name.startswith("_") or name == "__call__")
    declared |= dict.fromkeys(INSTANCE_ATTRIBUTES.get(interface, ()))
    return list(declared)
