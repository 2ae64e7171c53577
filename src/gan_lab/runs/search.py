"""Run folders below a folder."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from gan_lab.files import leads_out
from gan_lab.runs.state import read_state


def find_runs(folder: Path) -> list[Path]:
    """Run folders in or below `folder`, by number or name, links last; includes those of jobs that never started.

    A folder to which several links lead, or which contains a link to itself, is entered once. A link that leads out of
    `folder` is listed but not entered: `refuse_link_out` refuses it.
    """
    return list(_runs_below(folder, folder, set()))


def _runs_below(folder: Path, root: Path, entered: set[Path]) -> Iterator[Path]:
    if leads_out(folder, root):
        yield folder
        return
    home = folder.resolve()
    if home in entered:
        return
    entered.add(home)
    if (folder / "config.yaml").is_file() or (folder / ".hydra").is_dir():
        yield folder
        return
    children: list[Path] = []
    with suppress(FileNotFoundError):  # removed since its parent was read
        children = [child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")]
    for child in sorted(children, key=_order):
        yield from _runs_below(child, root, entered)


def _order(folder: Path) -> tuple[bool, int, str]:
    return folder.is_symlink(), len(folder.name) if folder.name.isdigit() else 0, folder.name


def states_since(root: Path, start: float) -> dict[Path, dict[str, Any]]:
    """States of the runs in or below a folder that were written since `start` (seconds since 1970), by run folder."""
    files = {run: run / "state.json" for run in find_runs(root)}
    # File systems have coarse time stamps.
    return {run: read_state(run) for run, file in files.items() if file.is_file() and file.stat().st_mtime >= start - 1}
