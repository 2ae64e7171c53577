"""Networks in the pickles of NVIDIA's TensorFlow codes: variables by name, and settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gan_lab.errors import CheckpointError
from gan_lab.published.network_pickles import Record


def are_networks(content: Any, name: str) -> bool:
    """Whether a file's content is a generator, a discriminator and an averaged generator of this class."""
    return (
        isinstance(content, list | tuple)
        and len(content) == 3
        and all(isinstance(each, Record) and each.name == name for each in content)
    )


def settings_of(network: Record) -> dict[str, Any]:
    """The arguments of the function that builds a network."""
    settings = network.state.get("static_kwargs")
    return settings if isinstance(settings, dict) else {}


def variables_of(network: Record, file: Path, needed: Mapping[str, Any]) -> dict[str, Tensor]:
    """The variables of a network by name, without those of its components.

    Args:
        network: The network.
        file: Its file.
        needed: Values that its settings must have, if it has these settings.

    Raises:
        CheckpointError: There are no variables, or a setting is another one.
    """
    settings = settings_of(network)
    for key, value in needed.items():
        if key in settings and settings[key] != value:
            raise CheckpointError(
                f"{file} has a network with {key}={settings[key]!s:.40}, which cannot be imported: it must be {value}."
            )
    found = network.state.get("variables")
    if not isinstance(found, list) or not all(isinstance(each, tuple) and len(each) == 2 for each in found):
        raise CheckpointError(f"{file} has a network without variables, which cannot be imported.")
    return {str(name): torch.from_numpy(np.array(value)) for name, value in found}
