"""A signal ends a whole sweep: the runs that are training leave a checkpoint, and no other begins. Light to import: no torch."""

import _thread
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gan_lab.config.run_folders import RUNNING, is_dead, states_since
from gan_lab.config.trials import FORWARDED

SIGNALS = {*FORWARDED, signal.SIGINT}

POLL_SECONDS = 0.5

_told: list[int] = []  # signals that this process was told to stop by; 0 for another reason


def told() -> bool:
    """Whether this process is to begin no further run of its sweep."""
    return bool(_told)


def reason() -> str:
    """The signal that came first, in words."""
    return next((signal.Signals(number).name for number in _told if number), "One of its runs")


def tell(number: int = 0, _frame: object = None) -> None:
    """Note that no further run of the sweep is to begin. A handler of signals; a second Ctrl-C ends the process as usual.

    Raises:
        KeyboardInterrupt: It is the second Ctrl-C.
    """
    again = number == signal.SIGINT and number in _told
    _told.append(number)
    if again:
        raise KeyboardInterrupt


def listen() -> dict[int, Any]:
    """Take signals that nobody else has taken, also those that came while they were held back; returns the handlers before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    ours: dict[int, Any] = {
        n: handler for n, handler in before.items() if handler in (signal.SIG_DFL, signal.default_int_handler)
    }
    for number in ours:
        signal.signal(number, tell)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    return ours


@contextmanager
def stoppable() -> Iterator[None]:
    """For the time of a sweep whose runs train in this process, one after the other."""
    _told.clear()
    before = listen()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stoppable_workers(folder: Path) -> Iterator[None]:
    """For the time of a sweep whose runs train in worker processes: signals to this process are passed on to those that train.

    Signals are held back from this thread, and so from the workers that it starts, until they call `listen`: one that is idle,
    or still loading, would be ended by them, and joblib then kills the others in the middle of a batch.

    Args:
        folder: The folder of the sweep, where the runs say which process trains them.
    """
    from joblib.externals.loky.backend.resource_tracker import ensure_running

    _told.clear()
    handlers = {n: handler for n in SIGNALS if (handler := signal.getsignal(n)) not in (signal.SIG_IGN, None)}
    for number in handlers:
        signal.signal(number, tell)
    ensure_running()  # joblib's tracker of resources, which lets signals through again when it starts
    ended = threading.Event()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, handlers)
    thread = threading.Thread(target=_pass_on, args=(folder, set(handlers), time.time(), ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        while pending := signal.sigpending() & handlers.keys():  # what came at the very end
            tell(signal.sigwait(pending))
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _pass_on(folder: Path, numbers: set[int], start: float, ended: threading.Event) -> None:
    """Until the sweep has ended, wait for a signal, then tell every process once that trains a run of it."""
    reached = {os.getpid()}
    while not ended.wait(POLL_SECONDS):
        if pending := signal.sigpending() & numbers:
            try:
                tell(signal.sigwait(pending))
            except KeyboardInterrupt:
                _thread.interrupt_main()
        if not _told:
            continue
        for process in _training(folder, start) - reached:
            reached.add(process)
            # The terminal gives Ctrl-C to all processes: a second one would end them at once.
            os.kill(process, signal.SIGTERM if _told[0] in (0, signal.SIGINT) else _told[0])


def _training(folder: Path, start: float) -> set[int]:
    """Processes of this machine that train runs which have begun since `start`."""
    return {
        state["process"]
        for state in states_since(folder, start).values()
        if state.get("state") == RUNNING
        and state.get("process", 0) > 1
        and state.get("host") == socket.gethostname()
        and not is_dead(state)
    }
