"""Where what was learned once is kept for other runs, in files that are never half-written."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch

CACHE_VARIABLE = "GAN_LAB_CACHE"
"""Environment variable with the folder of the cache; `~/.cache/gan_lab` where it is not set."""

_logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """The folder that the environment variable GAN_LAB_CACHE names, or `~/.cache/gan_lab`."""
    return Path(os.environ.get(CACHE_VARIABLE) or "~/.cache/gan_lab").expanduser()


@contextmanager
def whole(file: Path) -> Iterator[BinaryIO]:
    """A file to be written under another name, which gets its own when the block ends without an error.

    So a file of this name is always complete. Its folder is made.

    Raises:
        OSError: The folder or the file cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".", ignore_cleanup_errors=True) as folder:
        draft = Path(folder) / file.name
        with draft.open("wb") as target:
            yield target
            target.flush()
            os.fsync(target.fileno())
        draft.replace(file)


def keep(content: dict[str, Any], file: Path, what: str) -> None:
    """Write tensors and plain data to a file, see `whole`, or warn that it is not possible.

    Args:
        content: For `torch.save`.
        file: Where to.
        what: What the warning calls the content, where the file cannot be written.
    """
    try:
        with whole(file) as target:
            torch.save(content, target)
    except (OSError, RuntimeError) as error:  # PyTorch's writer covers the disk's word with its own
        _logger.warning("%s cannot be kept for the next run; %s: %s", what, file.parent, error)
