"""Ends a run before its end so that it can go on later: at a signal, or when its time is over."""

import logging
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, Trainer

from gan_lab.errors import ConfigError
from gan_lab.gans.base import AdversarialModule
from gan_lab.processes import is_first_process, largest_of_processes

log = logging.getLogger(__name__)

STARTED = time.monotonic()
"""When this process began, but for the seconds that Python and PyTorch take to load."""

NAMES = ("SIGTERM", "SIGUSR1", "SIGUSR2", "SIGINT")
SIGNALS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]

OUT_OF_TIME = 1000
"""Stands for the time limit among the numbers of signals."""

ASKS_FOR_MORE = {"SIGUSR1", "SIGUSR2", "time_limit"}
"""What tells a job of SLURM that its time is nearly over. SIGTERM and Ctrl-C are orders to end, after which SLURM itself knows
whether the job is to run again."""


class StopSignals:
    """For the time of a `with` block, notes a signal and lets the program go on.

    A second Ctrl-C ends it as usual. A signal that is ignored, as by `nohup`, stays so.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}
        self._process = os.getpid()

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            found = {number: signal.getsignal(number) for number in SIGNALS}
            self._before = {number: handler for number, handler in found.items() if handler != signal.SIG_IGN}
            self.listen()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Take the signals again, after Lightning has taken some for itself."""
        for number in self._before:
            signal.signal(number, self._note)

    def hand_on(self) -> None:
        """Tell the handler that was there before, such as that of a launcher which submits the job again."""
        handler = self._before.get(self.received)
        if callable(handler) and handler is not signal.default_int_handler:
            handler(self.received, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked process that the signal was not meant for
            return
        if number == signal.SIGINT == self.received:
            raise KeyboardInterrupt
        if not self.received and is_first_process():
            again = "; once more to end at once" if number == signal.SIGINT else ""
            os.write(
                2, f"\n{signal.Signals(number).name}: this batch ends, and a checkpoint is written{again}.\n".encode()
            )
        self.received = number


class Preemption(Callback):
    """At a signal or when its time is over, ends the run after the batch, in all processes after the same one.

    It sets `interrupted` of the module, so that other callbacks leave out what belongs to the end of a run. `Checkpoints`
    writes a checkpoint at that batch.

    Args:
        time_limit: Wall-clock time from the start of the process, `hh:mm:ss`, `d-hh:mm:ss` or seconds; None for no limit. The run
            ends when the longest time from one batch to the next so far, with what was drawn, measured and saved between
            them, no longer fits.
        requeue: In a job of SLURM, have it queued again (`scontrol requeue`) at SIGUSR1, SIGUSR2 and the time limit.

    Raises:
        ConfigError: `time_limit` is no time.
    """

    def __init__(self, time_limit: str | None = None, requeue: bool = True) -> None:
        self.time_limit = None if time_limit is None else seconds_of(time_limit)
        self.requeue = requeue
        self.signals = StopSignals()
        self._longest = 0.0
        self._batch_ended = time.monotonic()

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:  # type: ignore[override]
        self.signals.listen()
        self._batch_ended = time.monotonic()
        self._stop_if_told(trainer, module)

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:  # type: ignore[override]
        now = time.monotonic()
        self._longest, self._batch_ended = max(self._longest, now - self._batch_ended), now
        self._stop_if_told(trainer, module)

    def _stop_if_told(self, trainer: Trainer, module: AdversarialModule) -> None:
        if trainer.should_stop:  # the run is over anyway
            return
        reason = largest_of_processes(self.signals.received or (OUT_OF_TIME if self._out_of_time() else 0))
        if reason:
            module.interrupted = "time_limit" if reason == OUT_OF_TIME else signal.Signals(reason).name
            trainer.should_stop = True

    def _out_of_time(self) -> bool:
        return self.time_limit is not None and time.monotonic() - STARTED + self._longest >= self.time_limit

    def conclude(self, reason: str) -> None:
        """What is left to do once everything is written."""
        if self.requeue and reason in ASKS_FOR_MORE and is_first_process():
            requeue()
        self.signals.hand_on()


def seconds_of(text: str) -> float:
    """Seconds in `hh:mm:ss`, `d-hh:mm:ss` or a number of seconds.

    Raises:
        ConfigError: It is none of these, or is not greater than 0.
    """
    found = re.fullmatch(r"(?:(?:(\d+)-)?(\d+):([0-5]\d):)?(\d+(?:\.\d+)?)", str(text))
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups()) if found else (0.0,) * 4
    total = 86400 * days + 3600 * hours + 60 * minutes + seconds
    if total <= 0:
        raise ConfigError(
            f"time_limit={text} is not allowed: it must be hh:mm:ss, d-hh:mm:ss or seconds, as in time_limit=11:50:00."
        )
    return total


def requeue() -> None:
    """Have the job of SLURM that this process belongs to queued again; nothing outside one, and in an interactive one."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive"):
        return
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    tool = shutil.which("scontrol")
    if tool is None:
        log.warning("SLURM job %s is not queued again: there is no scontrol here.", job)
        return
    done = subprocess.run([tool, "requeue", job], capture_output=True, text=True)
    if done.returncode:
        log.warning("SLURM job %s is not queued again: %s", job, done.stderr.strip() or f"status {done.returncode}")
    else:
        log.info("SLURM job %s is queued again.", job)
