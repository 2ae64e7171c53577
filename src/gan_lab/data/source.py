"""Check that the source of a data set exists. Light to import: no torch."""

from pathlib import Path

from gan_lab.errors import DataError
from gan_lab.files import did_you_mean

IMAGES = "a folder or zip file of images"
IMAGE_OR_IMAGES = f"an image, or of {IMAGES}"


def existing_path(source: str, key: str = "dataset.source", what: str = IMAGES, run: Path | None = None) -> Path:
    """The path of a file or folder; `~` is the home folder.

    Args:
        source: The path as the user wrote it.
        key: Key of the config that has it.
        what: What it is the path of, for the message.
        run: Folder of the run whose config has the path; None for a new path. The message names the path that exists
            below a folder above this one: runs are usually trained there, and copied together with their data.

    Raises:
        DataError: It does not exist.
    """
    path = Path(source).expanduser()
    if not source or not path.exists():
        start = "" if path.is_absolute() else f" A relative path starts in the working directory, {Path.cwd()}."
        hint = f" Did you mean {near}?" if (near := _above(run, path)) else did_you_mean(path) if source else ""
        raise DataError(f"{key}={source} does not exist; give the path of {what}.{start}{hint}")
    return path


def _above(run: Path | None, path: Path) -> Path | None:
    """The path below one of the folders above that of a run, where it exists; None if there is none."""
    if run is None or path.is_absolute():
        return None
    return next((folder / path for folder in run.resolve().parents if (folder / path).exists()), None)
