"""Check that the source of a data set exists. Light to import: no torch."""

from pathlib import Path

from gan_lab.errors import DataError
from gan_lab.files import did_you_mean

IMAGES = "a folder or zip file of images"
IMAGE_OR_IMAGES = f"an image, or of {IMAGES}"


def existing_path(source: str, key: str = "dataset.source", what: str = IMAGES) -> Path:
    """The path of a file or folder; `~` is the home folder.

    Args:
        source: The path as the user wrote it.
        key: Key of the config that has it.
        what: What it is the path of, for the message.

    Raises:
        DataError: It does not exist.
    """
    path = Path(source).expanduser()
    if not source or not path.exists():
        hint = did_you_mean(path) if source else ""
        raise DataError(f"{key}={source} does not exist; give the path of {what}.{hint}")
    return path
