"""What a process that decodes images makes of signals."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading

ENDS_A_RUN = [getattr(signal, name) for name in ("SIGINT", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)]


_SIGNAL_OF_THE_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG of prctl(2)


def work_to_the_end(worker: int = 0) -> None:
    """Let nobody but the training process end this one. For `worker_init_fn` of a DataLoader.

    Schedulers and Ctrl-C send their signals to all processes of a job at once. The training process ends its batch first, and
    for that it needs its workers. Where that process is killed, this one ends at once, and with it its hold on the run folder.
    """
    for number in ENDS_A_RUN:
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":  # elsewhere nobody tells who has sent a signal
        ctypes.CDLL(None).prctl(_SIGNAL_OF_THE_PARENTS_DEATH, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        parent = multiprocessing.parent_process()
        assert parent is not None
        threading.Thread(target=_end_with_the_parent, args=(parent.pid,), daemon=True).start()


def _end_with_the_parent(parent: int | None) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
