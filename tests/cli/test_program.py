"""The process of the console script: it ends early, and nothing is lost."""

import os
import subprocess
import sys

import pytest

COMMAND = """
import gc, sys, types
from gan_lab.cli import program

def main():
    import atexit, logging.handlers, threading, time

    global records
    assert not gc.isenabled()
    records = logging.handlers.MemoryHandler(100, target=logging.StreamHandler(sys.stdout))
    records.emit(logging.LogRecord("", logging.INFO, "", 0, "logged", (), None))
    atexit.register(print, "at exit")
    threading.Thread(target=lambda: (time.sleep(0.3), print("thread"))).start()
    print("command")
    {end}

class Freed:
    def __del__(self):
        print("freed")

freed = Freed()
sys.modules["gan_lab.cli.main"] = types.SimpleNamespace(main=main)
sys.exit(program.main())
"""


def ended(end: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", COMMAND.format(end=end)], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("end", "status"), [("pass", 0), ("sys.exit()", 0), ("sys.exit(2)", 2), ("raise SystemExit(75)", 75)]
)
def test_ends_without_freeing_what_the_modules_hold(end: str, status: int) -> None:
    found = ended(end)
    assert (found.returncode, found.stderr) == (status, "")
    assert found.stdout.splitlines() == ["command", "thread", "at exit", "logged"]


@pytest.mark.parametrize(("end", "error"), [("1 / 0", "ZeroDivisionError"), ("sys.exit('why')", "why")])
def test_python_reports_other_errors(end: str, error: str) -> None:
    found = ended(end)
    assert found.returncode == 1 and error in found.stderr
    assert found.stdout.splitlines() == ["command", "thread", "at exit", "logged", "freed"]


def test_output_that_cannot_be_written_is_reported() -> None:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", COMMAND.format(end="pass")]
    with open("/dev/full", "w") as full:
        found = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=buffered)
    assert found.returncode == 120 and "No space left" in found.stderr


def test_garbage_is_collected_once_the_config_is_composed() -> None:
    code = """
import gc, sys
from gan_lab.cli import app, program
import gan_lab.cli.main
run = app.run

def with_state(command, task):
    run(command, lambda cfg: (print(gc.isenabled()), task(cfg)))

app.run = with_state
sys.argv = ["gan-lab", "list", "loss"]
program.main()
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.startswith("True\n") and "wasserstein" in found.stdout
