"""Early stop of a run that can be resumed later: on a signal, or at a time limit."""

import logging
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import Any

from lightning.pytorch import Trainer

from gan_lab.callbacks.base import Callback
from gan_lab.errors import ConfigError
from gan_lab.gans.base import AdversarialModule
from gan_lab.interrupts import SIGNALS, Interrupted, deliver, release
from gan_lab.processes import max_over_processes
from gan_lab.ranks import is_first_process

log = logging.getLogger(__name__)

STARTED = time.monotonic()
"""Start of this process, apart from the seconds that Python and PyTorch take to load."""

OUT_OF_TIME = 1000
"""Code of the time limit, beside the signal numbers."""

REQUEUE_REASONS = {"SIGUSR1", "SIGUSR2", "time_limit"}
"""Reasons after which a SLURM job is requeued: its time is nearly over. After SIGTERM and Ctrl-C, SLURM itself decides
whether the job runs again."""


class StopSignals:
    """Context manager that records stop signals instead of ending the program.

    A second Ctrl-C raises `KeyboardInterrupt`. Signals that were ignored before, as with `nohup`, stay ignored.
    Until `begin_training`, when there is nothing to save, signals raise `Interrupted`, except those that announce the
    end of a SLURM job, which is requeued after them.
    """

    def __init__(self) -> None:
        self.received = 0
        self._is_training = False
        self._earlier_handlers: dict[int, Any] = {}
        self._process = os.getpid()

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            release()
            handlers = {number: signal.getsignal(number) for number in SIGNALS}
            self._earlier_handlers = {
                number: handler for number, handler in handlers.items() if handler != signal.SIG_IGN
            }
            self.listen()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._earlier_handlers.items():
            signal.signal(number, handler)
        if kind is Interrupted:
            self.call_earlier_handler()

    def begin_training(self) -> None:
        """From now on, record signals."""
        self._is_training = True
        if self._earlier_handlers:  # in the main thread
            deliver()

    def listen(self) -> None:
        """Install the handler again, after Lightning has replaced it for some signals."""
        for number in self._earlier_handlers:
            signal.signal(number, self._record)

    def call_earlier_handler(self) -> None:
        """Call the handler that was installed before, such as that of a launcher which resubmits the job."""
        if handler := self.earlier_handler(self.received):
            handler(self.received, None)

    def earlier_handler(self, number: int) -> Any:
        """The handler of a signal that was installed before; None without one."""
        handler = self._earlier_handlers.get(number)
        return handler if callable(handler) and handler is not signal.default_int_handler else None

    def _record(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked process, for which the signal is not meant
            return
        if number == signal.SIGINT == self.received:
            raise KeyboardInterrupt
        if not self._is_training and signal.Signals(number).name not in REQUEUE_REASONS:
            self.received = number
            raise Interrupted(number)
        if not self.received and is_first_process():
            hint = " Press Ctrl-C again to stop immediately." if number == signal.SIGINT else ""
            name = signal.Signals(number).name
            with suppress(OSError):  # the terminal may be closed, which SIGHUP reports
                os.write(2, f"\n{name}: stopping after this batch with a checkpoint.{hint}\n".encode())
        self.received = number


class Preemption(Callback):
    """Stop the run on a signal or at a time limit, after the same batch in all processes.

    It sets `interrupted` of the module, so that other callbacks skip their work at the end of a run. `Checkpoints`
    writes a checkpoint at that batch.

    Args:
        time_limit: Wall-clock time from the start of the process, `hh:mm:ss`, `d-hh:mm:ss` or seconds; None for no
            limit. The run stops when the remaining time is shorter than the longest time between two batches so far,
            which includes figures, evaluations and checkpoints.
        requeue: Requeue a SLURM job (`scontrol requeue`) on SIGUSR1, SIGUSR2 and at the time limit; a job of submitit
            by submitit's handler, after as many time limits as `hydra.launcher.max_num_timeout` allows.

    Raises:
        ConfigError: `time_limit` is not a valid time.
    """

    def __init__(self, time_limit: str | None = None, requeue: bool = True) -> None:
        self.time_limit = None if time_limit is None else parse_seconds(time_limit)
        self.requeue = requeue
        self.signals = StopSignals()
        self._longest_interval = 0.0
        self._batch_ended = time.monotonic()

    def on_train_start(self, trainer: Trainer, module: AdversarialModule) -> None:
        self.signals.listen()
        self._batch_ended = time.monotonic()
        self._stop_if_requested(trainer, module)

    def on_train_batch_end(self, trainer: Trainer, module: AdversarialModule, *_: object) -> None:
        now = time.monotonic()
        self._longest_interval, self._batch_ended = max(self._longest_interval, now - self._batch_ended), now
        self._stop_if_requested(trainer, module)

    def _stop_if_requested(self, trainer: Trainer, module: AdversarialModule) -> None:
        if trainer.should_stop:  # the run ends anyway
            return
        reason = max_over_processes(self.signals.received or (OUT_OF_TIME if self._out_of_time() else 0))
        if reason:
            module.interrupted = "time_limit" if reason == OUT_OF_TIME else signal.Signals(reason).name
            trainer.should_stop = True

    def _out_of_time(self) -> bool:
        return self.time_limit is not None and time.monotonic() - STARTED + self._longest_interval >= self.time_limit

    def after_training(self, reason: str) -> None:
        """Requeue the SLURM job and call the earlier signal handler, once all files are written."""
        if self.requeue and reason in REQUEUE_REASONS:
            number = signal.Signals[f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"]
            if os.environ.get("SUBMITIT_EXECUTOR") == "slurm" and self.signals.earlier_handler(number):
                # submitit takes the end of its function for the end of the job: only its handler may requeue it.
                self.signals.received = number
            elif is_first_process():
                requeue()
        self.signals.call_earlier_handler()


def parse_seconds(text: str) -> float:
    """Seconds in a text `hh:mm:ss`, `d-hh:mm:ss` or `<seconds>`.

    Raises:
        ConfigError: The text has none of these forms, or the time is not greater than 0.
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
    """Requeue the SLURM job of this process; does nothing outside of SLURM and in an interactive job."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive"):
        return
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    scontrol = shutil.which("scontrol")
    if scontrol is None:
        log.warning("SLURM job %s is not requeued: the command scontrol was not found.", job)
        return
    done = subprocess.run([scontrol, "requeue", job], capture_output=True, text=True)
    if done.returncode:
        log.warning("SLURM job %s is not requeued: %s", job, done.stderr.strip() or f"status {done.returncode}")
    else:
        log.info("SLURM job %s is requeued.", job)
