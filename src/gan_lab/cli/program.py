"""The console script `gan-lab`, which has a process of its own."""

import atexit
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def main() -> None:
    """Entry point of the console script."""
    gc.disable()  # until the config is composed nothing is garbage: `cli.app.run` turns it on
    with _end_at_once():
        from gan_lab.cli.main import main

        main()


@contextmanager
def _end_at_once() -> Iterator[None]:
    """End the process without freeing the objects of all modules, which takes a tenth of a second.

    Threads, other functions at exit and the streams are waited for as usual. After an error that Python reports
    itself, the process ends as usual.
    """
    status: list[int] = []

    def end() -> None:
        if status:
            with suppress(OSError, ValueError):  # reported by Python, which tries again
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status[0])

    atexit.register(end)  # before all others, so called after them
    try:
        yield
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            status.append(error.code or 0)
        raise
    status.append(0)


if __name__ == "__main__":
    main()
