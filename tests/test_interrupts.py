"""Stop signals before training, and in other commands: one sentence, a documented status, and nothing left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gan_lab import interrupts
from gan_lab.callbacks.preemption import StopSignals
from gan_lab.files import atomic_write
from gan_lab.interrupts import Interrupted
from gan_lab.runs import new_folders
from tests.conftest import SMALL, Outcome

Command = Callable[..., Outcome]

SWEEP = ("train", "-m", *SMALL, "seed=0,1", "hydra.sweep.dir=sweep")


def python(code: str, folder: Path, *arguments: str) -> Outcome:
    """Run a program in an empty folder, with the signals' default handlers."""
    done = subprocess.run(
        [sys.executable, "-c", f"import os, signal, sys\n{code}", *arguments], cwd=folder, capture_output=True,
        text=True, timeout=100, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", interrupts.SIGNALS)
@pytest.mark.parametrize("status", [75, None])
def test_a_command_that_begins_is_ended_by_the_handler(number: int, status: int | None, tmp_path: Path) -> None:
    """Not by an exception, which an import could turn into another error."""
    code = (
        "from gan_lab.interrupts import end_at_signals\n"
        f"end_at_signals('train', {status}, lambda: print('undone', flush=True))\n"
        f"try:\n    os.kill(os.getpid(), {int(number)})\nexcept BaseException:\n    print('raised')\nprint('continued')"
    )
    name = signal.Signals(number).name
    expected = Outcome(status or 128 + number, "undone\n", f"gan-lab train: stopped by {name} before it began.\n")
    assert python(code, tmp_path) == expected


def test_ignored_signals_stay_ignored(tmp_path: Path) -> None:
    """As with `nohup`."""
    code = (
        "from gan_lab import interrupts\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "for handle in (lambda: interrupts.end_at_signals('train', 75, print), interrupts.raise_at_signals):\n"
        "    handle()\n    os.kill(os.getpid(), signal.SIGHUP)\n"
    )
    assert python(code, tmp_path) == Outcome(0, "", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["one", "${choice:dataset,gan}-${run_id:}"])
def test_training_that_has_not_begun_leaves_nothing(number: int, name: str, tmp_path: Path) -> None:
    """The signal comes after Hydra has written into the run folder."""
    (tmp_path / "runs").mkdir()
    code = (
        "from gan_lab.cli import main, train\n"
        f"train.check_command = lambda *_: os.kill(os.getpid(), {int(number)})\nmain.main()"
    )
    outcome = python(code, tmp_path, "train", f"run.name={name}", "hydra/job_logging=default")
    assert outcome.status == 75
    assert outcome.err == f"gan-lab train: stopped by {signal.Signals(number).name} before it began.\n"
    assert [path.name for path in tmp_path.rglob("*")] == ["runs"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_data_are_read(
    number: int, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gan_lab.training.fit.build_data", lambda cfg: send(number))
    (tmp_path / "runs/old").mkdir(parents=True)
    (tmp_path / "runs/old/notes.txt").write_text("mine")
    for name in ("new", "old"):
        outcome = command("train", *SMALL, f"run.name={name}")
        assert outcome.status == 75
        assert outcome.err == f"gan-lab train: stopped by {signal.Signals(number).name} before it began.\n"
    assert {path.name for path in (tmp_path / "runs").rglob("*")} == {"old", "notes.txt", ".lock"}


def test_signals_are_recorded_once_training_begins() -> None:
    before = signal.getsignal(signal.SIGTERM)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with pytest.raises(Interrupted, match=signal.Signals(number).name), StopSignals():
            send(number)
    with StopSignals() as signals:
        send(signal.SIGUSR1)  # the job is requeued, which needs the run
        assert signals.received == signal.SIGUSR1
        signals.begin_training()
        send(signal.SIGTERM)
        assert signals.received == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("moment", ["gan_lab.cli.train.import_heavy", "gan_lab.training.fit.build_data"])
def test_a_sweep_whose_first_run_has_not_begun(
    moment: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moment, lambda *_: send(signal.SIGTERM))
    outcome = command(*SWEEP)
    assert outcome.status == 75 and "Traceback" not in outcome.err
    assert "SIGTERM stopped this sweep; 0 of its runs are finished." in outcome.err
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("converted", [False, True])
def test_a_command_at_work_removes_its_incomplete_file(
    number: int, converted: bool, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(cfg: object) -> None:
        with atomic_write(tmp_path / "out"):
            try:
                send(number)
            except KeyboardInterrupt as error:  # as an import of a compiled module may do
                raise (ImportError("partially initialized") if converted else error) from None

    monkeypatch.setattr("gan_lab.commands.list.choices", work)
    name = signal.Signals(number).name
    assert command("list") == Outcome(128 + number, "", f"gan-lab list: stopped by {name}.\n")
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_folders_with_a_run_or_other_files_stay(tmp_path: Path) -> None:
    for name in ("unused", "run", "other", "sweep/0"):
        folder = tmp_path / name
        new_folders.note_if_new(tmp_path / name.split("/")[0])
        folder.mkdir(parents=True)
        new_folders.note_if_new(folder / ".hydra")
        (folder / ".hydra").mkdir()
        (folder / ".hydra/config.yaml").touch()
    (tmp_path / "run/config.yaml").touch()
    (tmp_path / "other/notes.txt").touch()
    (tmp_path / "sweep/multirun.yaml").touch()
    new_folders.remove_unused()
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert names == {"run", "run/config.yaml", "run/.hydra", "run/.hydra/config.yaml", "other", "other/notes.txt"}
