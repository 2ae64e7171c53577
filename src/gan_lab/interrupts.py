"""Stop signals that do not wait for a checkpoint: the command ends with one sentence. Light to import.

While a command loads its libraries and composes its config, the signal handler itself ends the process. An exception
would interrupt an import, which can end in any error, or in none.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

EXIT_STOPPED = 75
"""Exit status of a run that was stopped and can be resumed: EX_TEMPFAIL of sysexits.h, "try again"."""

NAMES = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGINT")
SIGNALS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]

_earlier_handlers: dict[int, Any] = {}
_received: list[int] = []


class Interrupted(KeyboardInterrupt):
    """A stop signal; the message is its name.

    Attributes:
        status: Exit status of a command that it ended, 128 + its number as in a shell.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def end_at_signals(command: str, status: int | None, undo: Callable[[], None]) -> None:
    """From now on, end the process at a stop signal, until `raise_at_signals` or `release`.

    Args:
        command: The command, for the message.
        status: Exit status; None for 128 + the number of the signal.
        undo: Called first; removes what the command has created.
    """
    process = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:  # a forked process
            os._exit(128 + number)
        with suppress(Exception):
            undo()
        with suppress(OSError):  # the terminal may be closed, which SIGHUP reports
            os.write(2, f"gan-lab {command}: stopped by {signal.Signals(number).name} before it began.\n".encode())
        os._exit(128 + number if status is None else status)

    _handle(end)


def raise_at_signals() -> None:
    """From now until `release`, raise `Interrupted` at a stop signal, so that `finally` removes incomplete files."""
    process = os.getpid()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:
            os._exit(128 + number)
        _received.append(number)
        raise Interrupted(number)

    _handle(interrupt)


@contextmanager
def blocked() -> Iterator[None]:
    """Hold stop signals back in the block; processes that it starts hold theirs back until `deliver`."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def deliver() -> None:
    """Let stop signals through that were held back since this process was started in `blocked`."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def received() -> Interrupted | None:
    """The first signal since `raise_at_signals`: what it interrupts may fail with another error."""
    return Interrupted(_received[0]) if _received else None


def release() -> None:
    """Restore the handlers from before `end_at_signals`."""
    _received.clear()
    for number in list(_earlier_handlers):
        signal.signal(number, _earlier_handlers.pop(number))


def _handle(handler: Callable[[int, FrameType | None], None]) -> None:
    """Install a handler; signals that are ignored, as with `nohup`, and those with a handler of their own stay so."""
    release()
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        before = signal.getsignal(number)
        if before in (signal.SIG_DFL, signal.default_int_handler):
            _earlier_handlers[number] = before
            signal.signal(number, handler)
