"""Atomic file writes, similar paths, a check for links that lead out of run folders. Does not import torch."""

import difflib
import errno
import itertools
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

from gan_lab.errors import DataError

_TEMPORARY = re.compile(r"\..*\.(\d+)-[0-9a-f]{8}(\.\w+)?")
"""Name of a temporary file of `atomic_write`; the group is the number of its process."""


MAX_TEXT_BYTES = 100_000_000
"""Largest text that is read from a run folder: a log of a million rows has about this size."""


@contextmanager
def atomic_write(file: Path, durable: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file that is renamed to `file` when the block ends without an error.

    So a file of this name is always complete. A link of this name is replaced, and its target is left unchanged.
    Missing folders are created. The open file has its path as `name`, for writers that take a path.

    Args:
        file: Final path.
        durable: Whether to wait until the content is on disk, so that it survives a power failure. False for thousands
            of files.

    Raises:
        DataError: The path exists and is not a regular file, such as a device.
        OSError: The folder or the file cannot be written.
    """
    _refuse_special(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_path(file)
    try:
        with temporary.open("xb+") as target:  # never an existing file, and never through a link
            yield target
            target.flush()
            if durable:
                os.fsync(target.fileno())
        _rename(temporary, file, durable)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # a failed write has none; a user has not seen the temporary name
            error.filename = str(file)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def relative_path(path: str | os.PathLike[str]) -> str:
    """The path relative to the working directory, if it is inside of it."""
    relative = os.path.relpath(path)
    return os.fspath(path) if relative.startswith("..") else relative


def read_text(file: Path, errors: str = "replace") -> str:
    """Text of a UTF-8 file in a run folder, which may be damaged or untrusted.

    Args:
        file: The file.
        errors: What to do about bytes that are not UTF-8, as for `bytes.decode`.

    Raises:
        FileNotFoundError: It is missing or not a regular file. A pipe or device could be endless.
        OSError: It cannot be read, or is larger than `MAX_TEXT_BYTES`.
    """
    if not file.is_file():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file))
    if (size := file.stat().st_size) > MAX_TEXT_BYTES:
        limit = f"it has {size / 1e6:,.0f} MB, more than the limit of {MAX_TEXT_BYTES / 1e6:,.0f} MB"
        raise OSError(errno.EFBIG, limit, str(file))
    return file.read_text(encoding="utf-8", errors=errors)


def write_text(file: Path, text: str) -> None:
    """Write a text as UTF-8 with `atomic_write`."""
    with atomic_write(file) as target:
        target.write(text.encode())


def copy_file(source: Path, file: Path) -> None:
    """Copy the content of a file with `atomic_write`."""
    with source.open("rb") as content, atomic_write(file) as target:
        shutil.copyfileobj(content, target)


def link_file(source: Path, file: Path) -> None:
    """Make `file` a hard link to `source`, or a copy if the file system has no hard links, atomically."""
    temporary = _temporary_path(file)
    try:
        os.link(source, temporary)
    except OSError:
        copy_file(source, file)
        return
    try:
        _rename(temporary, file, durable=True)
    finally:
        temporary.unlink(missing_ok=True)


def open_to_append(file: Path) -> TextIO:
    """Open a text file to append lines, without translation of line ends.

    A file with a second name, such as a hard link of a backup, is copied first, so that the other keeps its content.

    Raises:
        OSError: The file is a link (ELOOP) or a pipe without a reader (ENXIO), or cannot be written.
    """
    if not file.is_symlink() and file.is_file() and file.stat().st_nlink > 1:
        copy_file(file, file)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    return open(file, "a", newline="", encoding="utf-8", opener=lambda path, _: os.open(path, flags, 0o666))


def set_aside(file: Path) -> Path:
    """Rename a damaged file to `<name>.damaged`, or `<name>.damaged_2` and so on; returns the new path."""
    endings = itertools.chain(["damaged"], (f"damaged_{number}" for number in itertools.count(2)))
    paths = (file.with_name(f"{file.name}.{ending}") for ending in endings)
    return file.replace(next(path for path in paths if not os.path.lexists(path)))


def create_folder(path: Path) -> Path:
    """Create a folder that did not exist or was empty: `path`, or `path`-2, `path`-3, ... Returns it."""
    for folder in _numbered(path, path.name):
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
        except FileExistsError:
            if not (folder.is_dir() and not any(folder.iterdir())):
                continue
        return folder
    raise AssertionError("unreachable")


def unused_path(path: Path) -> Path:
    """The first of `walk.gif`, `walk-2.gif`, `walk-3.gif`, ... that does not exist; also for folders without a dot."""
    return next(file for file in _numbered(path, path.stem) if not os.path.lexists(file))


def _numbered(path: Path, stem: str) -> Iterator[Path]:
    """`path`, then the same with a number behind `stem`, with which its name begins."""
    yield path
    for number in itertools.count(2):
        yield path.with_name(f"{stem}-{number}{path.name.removeprefix(stem)}")


def did_you_mean(path: Path, *folders: Path) -> str:
    """A hint for the message about a path that does not exist: ` Did you mean runs/a?`, or nothing.

    Args:
        path: The path.
        folders: Folders in which to search for a similar name, in addition to that of the path.
    """
    found: dict[str, Path] = {}
    for folder in (path.parent, *folders):
        with suppress(OSError):
            others = [child for child in folder.iterdir() if child != path and not child.name.startswith(".")]
            found = {child.name: child for child in others} | found
    near = difflib.get_close_matches(path.name, found, n=1)
    return f" Did you mean {found[near[0]]}?" if near else ""


def remove_temporary_files(folder: Path) -> None:
    """Remove what killed processes left of `atomic_write` in a folder and below.

    Files of other processes of this machine that still run, such as a `gan-lab report`, stay.

    Args:
        folder: A run folder that is locked by this process.
    """
    for file in folder.rglob(".*"):
        found = _TEMPORARY.fullmatch(file.name)
        if found and file.is_file() and not _is_running(int(found[1])):
            with suppress(OSError):
                file.unlink()


def _is_running(process: int) -> bool:
    """Whether a process of this machine runs, this one included."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def refuse_links(folder: Path) -> None:
    """Refuse a run folder in which any file or folder is a link that leads out of it.

    Otherwise a run folder from an untrusted source could make reports read files outside of it, or overwrite them.

    Args:
        folder: Searched at any depth, except its subfolder `wandb`, in which W&B links to its own logs. The folder
            itself may be a link, because the user named it.

    Raises:
        DataError: There is such a link; the message names it.
    """
    home = folder.resolve()
    pending = [folder]
    while pending:
        with suppress(FileNotFoundError, PermissionError, NotADirectoryError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    if not _leads_into(Path(entry.path), home):
                        raise DataError(
                            f"{entry.path} is a link that leads out of the run folder {folder}; "
                            "remove it, or replace it by the file."
                        )
                elif entry.is_dir(follow_symlinks=False) and Path(entry.path) != folder / "wandb":
                    pending.append(Path(entry.path))


def refuse_link_out(path: Path, root: Path) -> None:
    """Refuse a run folder that was found below another folder, if it is a link that leads out of that one.

    Raises:
        DataError: It is; the message names it.
    """
    if leads_out(path, root):
        raise DataError(f"{path} is a link that leads out of the folder {root}; name its target instead.")


def leads_out(path: Path, root: Path) -> bool:
    """Whether a path below a folder is a link to a target outside of that folder."""
    return path != root and path.is_symlink() and not _leads_into(path, root.resolve())


def _leads_into(link: Path, home: Path) -> bool:
    try:
        return link.resolve().is_relative_to(home)
    except (OSError, RuntimeError):  # a link to itself
        return False


def _refuse_special(file: Path) -> None:
    """Refuse paths that are folders or devices, because a rename would replace a device by a file."""
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    if file.exists() and not file.is_file():
        raise DataError(f"{file} is not a regular file and cannot be replaced; choose another name.")


def _temporary_path(file: Path) -> Path:
    """An unused name in the same folder, hidden, with the number of this process and the same suffix."""
    return file.with_name(f".{file.name[:200]}.{os.getpid()}-{secrets.token_hex(4)}{file.suffix}")


def _rename(temporary: Path, file: Path, durable: bool) -> None:
    temporary.replace(file)
    if not durable:
        return
    with suppress(OSError):  # not every file system can sync a folder
        descriptor = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
