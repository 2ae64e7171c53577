"""Runs of a sweep: report of failures, and runs with several processes. Light to import: no torch."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from gan_lab.errors import UserError
from gan_lab.files import write_text
from gan_lab.interrupts import EXIT_STOPPED
from gan_lab.keys import leaves
from gan_lab.ranks import sign_of_processes
from gan_lab.runs.new_folders import note_if_new
from gan_lab.runs.search import find_runs, states_since
from gan_lab.runs.state import FAILED, read_state
from gan_lab.terminal import show

EXIT_TRIALS_FAILED = 1
"""Exit status of a sweep in which a run failed."""

FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class TrialFailed(UserError):
    """A run of a sweep failed in its own process; the message is the recorded reason."""


class FailedTrials(Callback):
    """Hydra callback that reports failed runs at the end of a sweep and exits with `EXIT_TRIALS_FAILED`."""

    def __init__(self) -> None:
        self._start = 0.0

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Record the time, since a resumed sweep does not report earlier failures, and whether the folder is new."""
        self._start = time.time()
        note_if_new(config.hydra.sweep.dir)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the failed runs to standard error.

        Raises:
            SystemExit: A run failed.
        """
        root = Path(config.hydra.sweep.dir)
        runs = [run for run in find_runs(root) if run != root] if root.is_dir() else []
        states = (
            {run.relative_to(root): state for run, state in states_since(root, self._start).items()} if runs else {}
        )
        failed = {name: state.get("reason") for name, state in states.items() if state.get("state") == FAILED}
        failed |= {name: state["refused"] for name, state in states.items() if "refused" in state}
        if failed:
            lines = [f"  {root / name}: {reason}" for name, reason in failed.items()]
            show("\n".join([f"{len(failed)} of {len(runs)} runs of this sweep failed:", *lines]), sys.stderr)
            raise SystemExit(EXIT_TRIALS_FAILED)


def starts_processes(cfg: DictConfig) -> bool:
    """Whether training would start more processes: it has several devices, and no launcher has started one for each."""
    outside = "TORCHELASTIC_RUN_ID" in os.environ or sign_of_processes() is not None
    return not outside and str(cfg.hardware.devices) not in ("1", "[0]")


def train_in_own_process(cfg: DictConfig) -> None:
    """Train in a new process that reads the config from a file.

    Lightning starts the program of that process again for each device; from the process of the sweep it would start the
    sweep again. If the new process fails or is killed, the sweep continues. Signals are forwarded to it.

    Raises:
        TrialFailed: It failed.
        SystemExit: It was interrupted and can be resumed.
    """
    folder = Path(cfg.run.dir)
    file = folder / ".hydra" / "trial.yaml"
    write_text(file, OmegaConf.to_yaml(_without_hydra(cfg)))
    with _signals_forwarded(subprocess.Popen([sys.executable, "-m", "gan_lab.cli.trial", str(file)])) as process:
        status = process.wait()
    if status == EXIT_STOPPED:
        raise SystemExit(status)
    if status != 0:
        state = read_state(folder)
        ended = (
            f"the process ended with status {status}" if status > 0 else f"the process was killed by signal {-status}"
        )
        raise TrialFailed(state["reason"] if state.get("state") == FAILED else f"{ended}.")


def _without_hydra(cfg: DictConfig) -> DictConfig:
    """The config with resolved references to Hydra: choices of groups and the id of this run."""
    plain = cast(DictConfig, OmegaConf.create(OmegaConf.to_container(cfg, resolve=False)))
    for key, value in leaves(OmegaConf.to_container(cfg, resolve=False)):
        if isinstance(value, str) and any(reference in value for reference in ("${hydra:", "${choice:", "${run_id")):
            OmegaConf.update(plain, key, OmegaConf.select(cfg, key))
    return plain


@contextmanager
def _signals_forwarded(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Forward signals to the process, and terminate it at the end of the block; ignored signals stay ignored."""
    handled = [number for number in FORWARDED if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda which, _: process.send_signal(which)) for number in handled}
    try:
        yield process
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if process.poll() is None:
            process.terminate()
            process.wait()
