"""Signal handling of worker processes that decode images."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading

_JOB_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)]
_PR_SET_PDEATHSIG = 1  # option of prctl(2): signal at the death of the parent


def ignore_job_signals(worker: int = 0) -> None:
    """Let only the training process end this worker. A `worker_init_fn` for `DataLoader`.

    Schedulers, Ctrl-C and a closed terminal send signals to all processes of a job, but the training process needs its
    workers to finish the current batch. If that process is killed, the worker ends immediately and releases its lock of
    the run folder.
    """
    for number in _JOB_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":  # other systems do not report the sender of a signal
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        parent = multiprocessing.parent_process()
        assert parent is not None
        threading.Thread(target=_exit_on_sigterm_of_parent, args=(parent.pid,), daemon=True).start()


def _exit_on_sigterm_of_parent(parent: int | None) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
