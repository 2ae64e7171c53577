"""Bars of loops that take minutes."""

import io
import sys

import pytest

from gan_lab import progress as module
from gan_lab.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DELAY_SECONDS", 0.0)


@pytest.mark.usefixtures("no_delay")
def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert list(progress(iter("abcd"), "nearest neighbors", 4)) == list("abcd")
    assert "nearest neighbors" in terminal.getvalue() and "0%" in terminal.getvalue()
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("no_delay")
def test_a_file_and_other_processes_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", file := io.StringIO())
    assert list(progress([1, 2], "x")) == [1, 2] and file.getvalue() == ""
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setattr(module, "is_first_process", lambda: False)
    assert list(progress([1, 2], "x")) == [1, 2] and terminal.getvalue() == ""


def test_a_short_loop_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert list(progress([1, 2], "x")) == [1, 2]
    assert "x" not in terminal.getvalue()
