"""The runs of a sweep: which of them failed and why, and those that take several processes. Light to import: no torch."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from gan_lab.config.run_folders import FAILED, FINISHED, RUNNING, find_runs, is_dead, read_state, states_since
from gan_lab.errors import UserError

EXIT_TRIALS_FAILED = 1
"""The status of a sweep in which a run failed."""

EXIT_STOPPED = 75
"""The status of a run that was stopped to go on later: EX_TEMPFAIL of sysexits.h, "try again"."""

FORWARDED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class TrialFailed(UserError):
    """A run of a sweep ended badly in a process of its own; the message is the reason that it left."""


def note_failure(folder: Path, reason: str) -> None:
    """Write into `state.json` of a run folder that the run failed, and why; what else stands there stays.

    A run that is finished stays so, and it is noted why going on with it was `refused`. Nothing in processes other than the
    first, and nothing in the folder of a run that is going on.
    """
    before = read_state(folder)
    goes_on = before.get("state") == RUNNING and before.get("process") != os.getpid() and not is_dead(before)
    if goes_on or any(os.environ.get(name, "0") != "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID")):
        return
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    finished = before.get("state") == FINISHED
    note = {**before, **({"refused": reason} if finished else {"state": FAILED, "reason": reason, "time": now})}
    temporary = folder / f".state.json.{os.getpid()}"
    with suppress(OSError):  # such as a full disk, which is perhaps the reason
        folder.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(json.dumps(note, indent=2) + "\n")
            temporary.replace(folder / "state.json")
        finally:
            temporary.unlink(missing_ok=True)


class FailedTrials(Callback):
    """At the end of a sweep, tells the runs that failed, and ends the command with a status that says so."""

    def __init__(self) -> None:
        self._start = 0.0

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note the time: a sweep that goes on in its folder is not to blame for earlier failures."""
        self._start = time.time()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print to standard error.

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
            print(f"{len(failed)} of {len(runs)} runs of this sweep failed:", *lines, sep="\n", file=sys.stderr)
            raise SystemExit(EXIT_TRIALS_FAILED)


def starts_processes(cfg: DictConfig) -> bool:
    """Whether training would start further processes: it has several devices, and nobody has started one for each."""
    outside = "TORCHELASTIC_RUN_ID" in os.environ or int(os.environ.get("SLURM_NTASKS", 1)) > 1
    return not outside and str(cfg.hardware.devices) not in ("1", "[0]")


def train_in_own_process(cfg: DictConfig) -> None:
    """Train in a new process, which reads the config from a file.

    What Lightning starts is that process again, so that all have the same settings; started from here it would be the
    sweep. When it fails, or is killed, the sweep goes on. Signals are passed on to it.

    Raises:
        TrialFailed: It ended badly.
        SystemExit: It was stopped to go on later.
    """
    folder = Path(cfg.run.dir)
    file = folder / ".hydra" / "trial.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(OmegaConf.to_yaml(_without_hydra(cfg)))
    with _signals_passed_on(subprocess.Popen([sys.executable, "-m", "gan_lab.cli.trial", str(file)])) as process:
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
    """The config with the values in place of what only Hydra knows: its choices, and the id of this run."""
    plain = cast(DictConfig, OmegaConf.create(OmegaConf.to_container(cfg, resolve=False)))
    for key, text in _texts(OmegaConf.to_container(cfg, resolve=False)):
        if "${hydra:" in text or "${run_id" in text:
            OmegaConf.update(plain, key, OmegaConf.select(cfg, key))
    return plain


def _texts(node: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Values that are text, by dotted key."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _texts(value, f"{prefix}{key}.")
        elif isinstance(value, str):
            yield f"{prefix}{key}", value


@contextmanager
def _signals_passed_on(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """SIGTERM and its kind go to the process, which decides; and it never outlives the block."""
    before = {number: signal.signal(number, lambda which, _: process.send_signal(which)) for number in FORWARDED}
    try:
        yield process
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if process.poll() is None:
            process.terminate()
            process.wait()
