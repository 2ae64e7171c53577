"""Output to the terminal: without control characters, and never worth a run.

Names in untrusted files could use control characters to overwrite other lines.
"""

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

OUTPUT = "The standard output"
"""`filename` of errors of the standard output."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    r"""Replace each control character except line feed and tab by its escape, such as `\x1b`."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def show(text: object, file: TextIO | None = None, flush: bool = False) -> None:
    """Print a text, made `printable`, to standard output or another stream.

    Raises:
        OSError: It cannot be written; its `filename` is the name of the stream.
    """
    with _named():
        print(printable(str(text)), file=file or sys.stdout, flush=flush)


def write_output() -> None:
    """Write what was printed to the standard output and is in its buffer.

    Raises:
        OSError: As `show`.
    """
    with _named():
        sys.stdout.flush()


@contextmanager
def _named() -> Iterator[None]:
    """Give the errors of a stream its name, but for a closed pipe."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, OUTPUT) from error


class PrintableFormatter(logging.Formatter):
    """Log formatter whose lines are `printable`."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class LossyStream:
    """Text stream that discards what cannot be written, because the reader has exited, the disk is full, or it is None.

    Messages and the progress bar go through it: a run must not end with the terminal that shows them.

    Args:
        stream: The stream; None, as Python sets `sys.stderr` where there is no standard error, discards everything.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, or discard it; returns its length."""
        with suppress(OSError, ValueError, AttributeError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream if that is possible."""
        with suppress(OSError, ValueError, AttributeError):
            self._stream.flush()

    def isatty(self) -> bool:
        """Whether the stream is an open terminal."""
        try:
            return bool(self._stream.isatty())
        except (ValueError, AttributeError):
            return False

    def redraws(self) -> bool:
        """Whether a carriage return begins the line again: on a terminal, and in the output of a notebook."""
        return self.isatty() or type(self._stream).__module__.startswith("ipykernel.")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def lossy(stream: Any) -> LossyStream:
    """The stream as a `LossyStream`; one that is one already is unchanged, so bars and messages have the same one."""
    return stream if isinstance(stream, LossyStream) else LossyStream(stream)


class ConsoleHandler(logging.StreamHandler):
    """Log handler whose lines appear above the progress bars on its stream, and not behind the text of a bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hide the bars, write the line, and show the bars again."""
        from tqdm import tqdm  # most commands have neither bars nor messages

        with tqdm.external_write_mode(self.stream):
            super().emit(record)


def prepare_streams() -> None:
    """Make the standard streams of a command usable, whatever they are connected to.

    Closed descriptors are opened on the null device: otherwise the next file that the program opens would be its
    standard error. Characters that the encoding of the output lacks are escaped.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stderr = lossy(sys.stderr)


def discard_unwritten_output() -> None:
    """Flush the standard output, or discard what cannot be written: Python would report it when it exits."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
