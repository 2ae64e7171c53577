"""Stopping a sweep on a signal: running trials write a checkpoint, and no other starts. Light to import: no torch."""

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

from gan_lab.runs.search import states_since
from gan_lab.runs.state import RUNNING, is_dead
from gan_lab.sweeps.trials import FORWARDED

SIGNALS = {*FORWARDED, signal.SIGINT}

IN_THIS_PROCESS = ("basic", "ensemble")
"""Launchers whose runs train in the process of the sweep."""

POLL_SECONDS = 0.5

_received: list[int] = []  # signals to stop that this process received; 0 for another reason


def is_stopping() -> bool:
    """Whether this process must not start another run of its sweep."""
    return bool(_received)


def stop_signal() -> int:
    """Number of the first signal to stop that this process received; 0 if there was none."""
    return next(iter(_received), 0)


def first_signal() -> str:
    """Name of the first signal, or "One of its runs" if there was none."""
    return next((signal.Signals(number).name for number in _received if number), "One of its runs")


def request_stop(number: int = 0, _frame: object = None) -> None:
    """Record that no other run of the sweep must start. A signal handler; a second Ctrl-C ends the process as usual.

    Raises:
        KeyboardInterrupt: It is the second Ctrl-C.
    """
    again = number == signal.SIGINT and number in _received
    _received.append(number)
    if again:
        raise KeyboardInterrupt


def listen() -> dict[int, Any]:
    """Handle signals that have no handler yet, also pending blocked ones; returns the previous handlers."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    ours: dict[int, Any] = {
        n: handler for n, handler in before.items() if handler in (signal.SIG_DFL, signal.default_int_handler)
    }
    for number in ours:
        signal.signal(number, request_stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    return ours


@contextmanager
def stoppable() -> Iterator[None]:
    """Handle signals during a sweep whose runs train in this process, one after the other."""
    _received.clear()
    before = listen()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stoppable_workers(folder: Path) -> Iterator[None]:
    """Forward signals to the training processes during a sweep whose runs train in worker processes.

    Signals are blocked in this thread, and so in the workers that it starts, until they call `listen`: a signal would
    end an idle or loading worker, and joblib then kills the others in the middle of a batch.

    Args:
        folder: The folder of the sweep, in which the runs record their processes.
    """
    from joblib.externals.loky.backend.resource_tracker import ensure_running

    _received.clear()
    handlers = {n: handler for n in SIGNALS if (handler := signal.getsignal(n)) not in (signal.SIG_IGN, None)}
    for number in handlers:
        signal.signal(number, request_stop)
    ensure_running()  # joblib's resource tracker, which unblocks signals when it starts
    ended = threading.Event()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, handlers)
    thread = threading.Thread(target=_forward, args=(folder, set(handlers), time.time(), ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        while pending := signal.sigpending() & handlers.keys():  # signals that arrived at the very end
            request_stop(signal.sigwait(pending))
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _forward(folder: Path, numbers: set[int], start: float, ended: threading.Event) -> None:
    """Until the sweep has ended, wait for a signal and forward it once to every process that trains a run."""
    reached = {os.getpid()}
    while not ended.wait(POLL_SECONDS):
        if pending := signal.sigpending() & numbers:
            try:
                request_stop(signal.sigwait(pending))
            except KeyboardInterrupt:
                _thread.interrupt_main()
        if not _received:
            continue
        for process in _training(folder, start) - reached:
            reached.add(process)
            # The terminal gives Ctrl-C to all processes: a second one would end them at once.
            os.kill(process, signal.SIGTERM if _received[0] in (0, signal.SIGINT) else _received[0])


def _training(folder: Path, start: float) -> set[int]:
    """Processes on this host that train runs started since `start`."""
    return {
        state["process"]
        for state in states_since(folder, start).values()
        if state.get("state") == RUNNING
        and state.get("process", 0) > 1
        and state.get("host") == socket.gethostname()
        and not is_dead(state)
    }
