"""Cache folder for results that several runs use: downloads, classifiers, statistics of real images."""

import logging
import os
from pathlib import Path
from typing import Any

import torch

from gan_lab.files import atomic_write

CACHE_VARIABLE = "GAN_LAB_CACHE"
"""Environment variable with the cache folder; the default is `~/.cache/gan_lab`."""

_logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """The folder that the environment variable GAN_LAB_CACHE names, or `~/.cache/gan_lab`."""
    return Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/gan_lab").expanduser()


def save_or_warn(content: dict[str, Any], file: Path, what: str) -> None:
    """Save tensors and plain data to a file atomically; log a warning if the file cannot be written.

    Args:
        content: For `torch.save`.
        file: Path of the file.
        what: Name of the content in the warning.
    """
    try:
        with atomic_write(file) as target:
            torch.save(content, target)
    except (OSError, RuntimeError) as error:  # PyTorch's writer turns an OSError into a RuntimeError
        _logger.warning("%s cannot be cached in %s: %s", what, file.parent, error)
