"""State of a run: `state.json` in its folder."""

import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gan_lab.files import read_text, write_text
from gan_lab.ranks import is_first_process

RUNNING, FINISHED, STOPPED, FAILED = "running", "finished", "stopped", "failed"
"""States of a run in `state.json`."""


def read_state(path: Path) -> dict[str, Any]:
    """Contents of `state.json` of a run folder; empty without the file, or if it is damaged.

    Keys: `state`, `reason`, `images_seen`, `budget_images`, `training_seconds` (of all starts that were not killed),
    `time`, `host`, `process`, each if the run wrote it.
    """
    try:
        state = json.loads(read_text(path / "state.json"))
    except (OSError, ValueError, RecursionError):
        return {}
    return state if isinstance(state, dict) else {}


def is_dead(state: Mapping[str, Any]) -> bool:
    """True if the process of the run was on this host and has exited; False if it runs, or ran on another host.

    Another process may have its number by now, as after a restart of the machine or of a container.
    """
    if state.get("host") != socket.gethostname() or not _is_process(state.get("process")):
        return False
    try:
        os.kill(state["process"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    start = _start_of(state["process"])
    return start is not None and state.get("process_start") not in (None, start)


def _start_of(process: int) -> str | None:
    """Boot of the machine, and ticks from it to the start of a process; None where the system has no such files."""
    try:
        boot = read_text(Path("/proc/sys/kernel/random/boot_id")).strip()
        columns = read_text(Path(f"/proc/{process}/stat")).rpartition(")")[2].split()
    except OSError:
        return None
    return f"{boot} {columns[19]}"  # the 22nd column; the second is a name in parentheses


def _is_process(number: Any) -> bool:
    return type(number) is int and 1 < number < 2**31


class RunState:
    """Writer of `state.json`: `running`, `finished`, `stopped` (can be resumed) or `failed`, and the images seen.

    The state of a killed run stays `running`. Only the first process writes.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._begin = time.monotonic()
        earlier = read_state(folder).get("training_seconds")
        self._earlier = float(earlier) if isinstance(earlier, (int, float)) else 0.0

    @property
    def finished(self) -> bool:
        """Whether the run reached its budget and completed its work at the end."""
        return read_state(self.folder).get("state") == FINISHED

    def write(self, state: str, images_seen: int, budget: int, reason: str | None = None) -> None:
        """Write the state; `reason` is the signal or the error that ended the run."""
        _write(
            self.folder,
            {
                "state": state, "reason": reason, "images_seen": images_seen, "budget_images": budget,
                "training_seconds": round(self._earlier + time.monotonic() - self._begin, 1),
                **_writer(),
            },
        )  # fmt: skip


def note_failure(folder: Path, reason: str) -> None:
    """Set the state in `state.json` to failed, with the reason; the other entries stay.

    A run that had ended before this process keeps its state, and the reason why it was not resumed is written as
    `refused`. Does nothing in processes other than the first, and in the folder of a run that is still running.
    """
    before = read_state(folder)
    state, process = before.get("state"), before.get("process")
    if state == RUNNING and process != os.getpid() and not is_dead(before):
        return
    had_ended = state == FINISHED or (state in (STOPPED, FAILED) and process != os.getpid())
    failure = {"state": FAILED, "reason": reason, **_writer()}
    entries = {"refused": reason} if had_ended else failure
    with suppress(OSError):  # for example a full disk, which may be the reason
        _write(folder, before | entries)


def _write(folder: Path, entries: Mapping[str, Any]) -> None:
    """Write `state.json`, only in the first process."""
    if is_first_process():
        write_text(folder / "state.json", json.dumps(entries, indent=2) + "\n")


def _writer() -> dict[str, Any]:
    """Entries about the time and this process."""
    process = os.getpid()
    return {"time": _now(), "host": socket.gethostname(), "process": process, "process_start": _start_of(process)}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
