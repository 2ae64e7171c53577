"""Runs that train at once in one process: each in a thread of its own, of which only one runs at a time."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, copy_context
from typing import Any

from lightning.pytorch import Trainer

from gan_lab.callbacks.preemption import Preemption
from gan_lab.ensemble.batches import MemberRunner, Request, StackedRunner
from gan_lab.ensemble.obstacles import obstacle
from gan_lab.ensemble.own_storage import OwnStorage
from gan_lab.gans.base import AdversarialModule

log = logging.getLogger(__name__)

LOGGERS = (logging.getLogger(), logging.getLogger("gan_lab"))
"""Loggers whose handlers are those of the run that is training."""

POLL_SECONDS = 0.5

_current: ContextVar["Member | None"] = ContextVar("member", default=None)


def current_member() -> "Member | None":
    """The member that the calling code trains; None outside of an ensemble."""
    return _current.get()


class Member:
    """A run of an ensemble, in a thread that runs only while another one waits for it in `resume`.

    The run is an ordinary one: it has its own trainer, callbacks, loggers and folder. Only its batches are handed out
    (`exchange`) and trained on together with those of the other members.

    Args:
        job: Trains the run.
        own_state: Context manager around every part of the run, with what else it has of the process's state.

    Attributes:
        request: The batch that the run waits for; None if it has ended.
        result: What `job` returned.
        error: What `job` raised.
        has_ended: Whether `job` has ended.
    """

    def __init__(
        self, job: Callable[[], Any], own_state: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self.job = job
        self.own_state = own_state
        self.request: Request | None = None
        self.result: Any = None
        self.error: BaseException | None = None
        self.has_ended = False
        self._trainer: Any = None
        self._must_end = False
        self._is_running = False
        self._handlers: dict[logging.Logger, list[logging.Handler]] = {}
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), daemon=True)
        self._turn, self._pause = threading.Lock(), threading.Lock()  # released to let the run, or the others, continue
        self._turn.acquire()
        self._pause.acquire()

    def join(self, module: AdversarialModule, trainer: Trainer) -> None:
        """Let a run that was built train with the other members, or alone if something in it cannot be stacked."""
        self._trainer = trainer
        if (reason := obstacle(module, trainer)) is not None:
            log.info("This run trains alone: %s.", reason)
            return
        module.runner = MemberRunner(module, self.exchange)
        self._trainer.callbacks.append(OwnStorage())

    def resume(self, stop_signal: Callable[[], int]) -> None:
        """Continue the run until it waits for its next batch or has ended.

        Args:
            stop_signal: The signal that asks all runs to stop; 0 if there was none.
        """
        with self._own_handlers(), self.own_state():
            if self._thread.ident is None:
                self._thread.start()
            elif not self._is_running:  # it still is after a signal that interrupted this function
                self._turn.release()
            self._is_running = True
            while not self._pause.acquire(timeout=POLL_SECONDS):
                self._stop(stop_signal())
            self._is_running = False
        self._stop(stop_signal())

    def end(self) -> None:
        """End the run at once, as a second Ctrl-C does."""
        self._must_end = True
        self.has_ended |= self._thread.ident is None
        while not self.has_ended:
            self.resume(lambda: signal.SIGINT)  # for a run that trains alone: it stops after its batch

    def exchange(self, request: Request) -> None:
        """Hand a batch to the ensemble and wait until it was trained on; called by the run.

        Raises:
            SystemExit: The run must end at once, as Lightning's trainer ends at a second Ctrl-C.
        """
        self.request = request
        self._pause.release()
        self._turn.acquire()
        self.request = None
        if self._must_end:
            raise SystemExit

    def _run(self) -> None:
        _current.set(self)
        try:
            self.result = self.job()
        except BaseException as error:
            self.error = error
        finally:
            self.has_ended = True
            self._pause.release()

    def _stop(self, number: int) -> None:
        """Ask the run to stop after its batch, as its own signal handler would, which only the main thread can have."""
        if number and self._trainer is not None:
            for callback in self._trainer.callbacks:
                if isinstance(callback, Preemption):
                    callback.signals.received = number

    @contextmanager
    def _own_handlers(self) -> Iterator[None]:
        """Context manager with the handlers of the loggers that the run has installed."""
        others = {logger: logger.handlers for logger in LOGGERS}
        for logger in LOGGERS:
            logger.handlers = self._handlers.get(logger, [*logger.handlers])
        try:
            yield
        finally:
            for logger, handlers in others.items():
                self._handlers[logger], logger.handlers = logger.handlers, handlers


def train_together(members: Sequence[Member], stop_signal: Callable[[], int] = lambda: 0) -> None:
    """Train all members to their ends; those whose batches can be stacked train on them at once.

    Raises:
        KeyboardInterrupt: A second Ctrl-C; the runs have ended.
    """
    try:
        waiting = list(members)
        runner = StackedRunner()
        while waiting:
            for member in waiting:
                member.resume(stop_signal)
            waiting = [member for member in waiting if not member.has_ended]
            runner.train([member.request for member in waiting if member.request is not None])
    except KeyboardInterrupt:
        for member in members:
            member.end()
        raise
