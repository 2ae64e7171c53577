"""Where what was learned once is kept for other runs, in files that are never half-written."""

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import torch

CACHE_VARIABLE = "GAN_LAB_CACHE"
"""Environment variable with the folder of the cache; `~/.cache/gan_lab` where it is not set."""

_logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """The folder that the environment variable GAN_LAB_CACHE names, or `~/.cache/gan_lab`."""
    return Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/gan_lab").expanduser()


def keep(content: dict[str, Any], file: Path, what: str) -> None:
    """Write tensors and plain data to a file, under another name first: whatever happens, a file of this name is complete.

    Args:
        content: For `torch.save`.
        file: Its folder is made.
        what: What the warning calls the content, where the file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".", ignore_cleanup_errors=True) as folder:
            draft = Path(folder) / file.name
            with draft.open("wb") as target:
                torch.save(content, target)
                target.flush()
                os.fsync(target.fileno())
            draft.replace(file)
    except (OSError, RuntimeError) as error:  # PyTorch's writer covers the disk's word with its own
        _logger.warning("%s cannot be kept for the next run; %s: %s", what, file.parent, error)
