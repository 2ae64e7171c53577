"""Standard streams that are closed, full or without a reader never end a run, and reach no other file."""

import errno
import functools
import io
import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from gan_lab.callbacks.progress import Progress
from gan_lab.terminal import ConsoleHandler, LossyStream, show


class FailingStream(io.StringIO):
    """A stream whose writes fail, as of a closed pipe, a full disk, a closed file or an encoding without the text."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error

    def flush(self) -> None:
        raise self.error


FAILURES = {
    "a closed pipe": BrokenPipeError(errno.EPIPE, "Broken pipe"),
    "a full disk": OSError(errno.ENOSPC, "No space left on device"),
    "a closed terminal": OSError(errno.EIO, "Input/output error"),
    "a closed file": ValueError("I/O operation on closed file."),
    "an encoding": UnicodeEncodeError("ascii", "█", 0, 1, "ordinal not in range(128)"),
}


@pytest.mark.parametrize("stream", [None, *map(FailingStream, FAILURES.values())], ids=["none", *FAILURES])
def test_the_progress_bar_needs_no_terminal(stream: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    bar = Progress(budget_images=100, log_seconds=0)
    trainer, module = SimpleNamespace(is_global_zero=True), SimpleNamespace(images_seen=0, latest={})
    bar.on_train_start(trainer, module)
    for module.images_seen in range(10, 110, 10):
        module.latest = {"progress/images_seen": module.images_seen, "train/generator/adversarial": 1.0}
        bar.on_train_batch_end(trainer, module)
    bar.on_train_end(trainer, module)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """The lines that a user sees: what follows a carriage return replaces what was there."""
        rows = [row.split("\r") for row in self.getvalue().split("\n")]
        return [functools.reduce(lambda old, new: new + old[len(new) :], parts) for parts in rows]


def test_messages_are_above_the_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", LossyStream(terminal))
    logger = logging.Logger("of this test")
    logger.addHandler(ConsoleHandler(sys.stderr))
    bar = Progress(budget_images=1000)
    trainer, module = SimpleNamespace(is_global_zero=True), SimpleNamespace(images_seen=500, latest={})
    bar.on_train_start(trainer, module)
    logger.warning("a message")
    bar.on_train_end(trainer, module)
    logger.warning("the end")
    first, second, third, rest = map(str.rstrip, terminal.lines())
    assert (first, third, rest) == ("a message", "the end", "") and second.startswith(" 50%") and second.endswith("]")


def test_a_file_has_a_line_for_each_text_of_the_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", LossyStream(file))
    logger = logging.Logger("of this test")
    logger.addHandler(ConsoleHandler(sys.stderr))
    bar = Progress(budget_images=1000, log_seconds=0)
    trainer, module = SimpleNamespace(is_global_zero=True), SimpleNamespace(images_seen=500, latest={})
    bar.on_train_start(trainer, module)
    logger.warning("a message")
    bar.on_train_end(trainer, module)
    first, second, *rest = file.getvalue().splitlines()
    assert first.startswith(" 50%|") and second == "a message" and "\r" not in file.getvalue()
    assert rest and all(line.startswith(" 50%|") for line in rest)


def test_a_notebook_has_a_bar_that_is_updated_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """As text: the widgets of notebooks may be missing."""
    output = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    monkeypatch.setattr(sys, "stderr", output)
    bar, trainer = Progress(budget_images=1000), SimpleNamespace(is_global_zero=True)
    bar.on_train_start(trainer, SimpleNamespace(images_seen=500, latest={}))
    bar.on_train_end(trainer, SimpleNamespace(images_seen=700, latest={}))
    assert re.findall(r"\r *(\d+)%", output.getvalue()) == ["50", "70"] and output.getvalue().count("\n") == 1


def test_a_lossy_stream_passes_text_and_properties_on() -> None:
    stream = io.StringIO()
    lossy = LossyStream(stream)
    assert lossy.write("text") == 4 and stream.getvalue() == "text" and not lossy.isatty()
    assert lossy.getvalue() == "text" and not LossyStream(None).isatty()


def test_a_full_output_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", FailingStream(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space left on device: 'The standard output'"):
        show("text", flush=True)


CODE = """
import contextlib, os, sys
from gan_lab.terminal import discard_unwritten_output, prepare_streams
prepare_streams()
assert all(os.fstat(descriptor) for descriptor in range(3))
file = open(sys.argv[1], "w")
print("a message", file=sys.stderr)
with contextlib.suppress(OSError):
    os.write(2, b"a signal")
with contextlib.suppress(OSError):
    print("\\u2588 output", flush=len(sys.argv) == 2)
discard_unwritten_output()
"""


@pytest.mark.parametrize(
    "streams", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full", "x >/dev/full", "x 2>&1 | true"], ids=str
)
def test_streams_of_a_program(streams: str, tmp_path: Path) -> None:
    """Messages for a closed standard error do not go into the next file that is opened."""
    line = f"set -o pipefail; {sys.executable} -c '{CODE}' {tmp_path}/file {streams}"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    assert ended.returncode == 0 and ended.stderr in ("", "a message\na signal"), ended
    assert (tmp_path / "file").read_text() == ""


def test_an_encoding_without_the_characters(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run([sys.executable, "-c", CODE, tmp_path / "file"], capture_output=True, env=environment)
    assert ended.returncode == 0 and ended.stdout == b"\\u2588 output\n"
