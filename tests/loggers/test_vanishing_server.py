"""An online run whose W&B server or W&B process fails in the middle continues and ends in time."""

import json
import logging
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb

from gan_lab.config.compose import compose
from gan_lab.loggers import wandb as ours
from gan_lab.loggers import wandb_run
from gan_lab.training.fit import fit
from tests.helpers.wandb_server import WandbServer
from tests.loggers.test_wandb import TRAIN, as_history, metrics_csv, no_key, records

__all__ = ["no_key"]  # a fixture

BATCHES, BATCH = 120, 4
OVERRIDES = (
    *TRAIN,
    "logger=[csv,wandb]",
    "logger.wandb.mode=online",
    "logger.wandb.timeout_seconds=1",
    f"batch_size={BATCH}",
    f"budget.images={BATCHES * BATCH}",
    "callbacks.sample_grids.every_images=80",
)


@pytest.fixture(autouse=True)
def online(no_key: None, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A user with an API key; returns the seconds that each run waits at its end."""
    init, finish = wandb.init, wandb_run.ResumedRun.finish
    waits: list[float] = []

    def patient(**options: Any) -> Any:
        options["settings"].init_timeout = 60  # the short limit is for the end; a busy machine may start slowly
        return init(**options)

    def timed(logger: wandb_run.ResumedRun) -> None:
        begin = time.perf_counter()
        finish(logger)
        waits.append(time.perf_counter() - begin)

    monkeypatch.setattr(wandb, "init", patient)
    monkeypatch.setattr(wandb_run.ResumedRun, "finish", timed)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    return waits


def call_in_the_middle(act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Call `act` once, after a third of the images."""
    log, pending = wandb_run.ResumedRun.log_metrics, [act]

    def acted(logger: wandb_run.ResumedRun, metrics: dict[str, Any], step: int | None = None) -> None:
        if pending and metrics["progress/images_seen"] >= BATCHES * BATCH // 3:
            pending.pop()()
        log(logger, metrics, step)

    monkeypatch.setattr(wandb_run.ResumedRun, "log_metrics", acted)


def processes() -> list[int]:
    """Ids of the W&B processes that this process started."""
    listed = subprocess.run(["ps", "-o", "pid=,ppid=,stat=,comm=", "-A"], capture_output=True, text=True, check=True)
    lines = [line.split(maxsplit=3) for line in listed.stdout.splitlines()]
    ours = [line for line in lines if line[1] == str(os.getpid()) and "wandb-core" in line[3]]
    return [int(pid) for pid, _, state, _ in ours if not state.startswith("Z")]


def train(folder: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> Path:
    """Train a complete run; returns its W&B folder."""
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    assert fit(compose(*OVERRIDES, f"run.dir={folder}", *overrides)).module.images_seen == BATCHES * BATCH
    assert json.loads((folder / "state.json").read_text())["state"] == "finished"
    assert wandb.run is None
    (found,) = (folder / "wandb").glob("run-*-*")
    return found


def losses(rows: list[dict[str, Any]]) -> dict[float, float]:
    """A loss by images seen; fails on duplicate rows."""
    key = "train/generator/adversarial"
    found = [(row["progress/images_seen"], row[key]) for row in rows if key in row]
    assert len(dict(found)) == len(found)
    return dict(found)


def figures_are_complete(folder: Path, history: list[dict[str, Any]]) -> bool:
    """Check that the logged figures equal those of the run; whether there are more than three."""
    shown = [(row["progress/images_seen"], row["samples/ema.path"]) for row in history if "samples/ema.path" in row]
    for seen, path in shown:
        (copy,) = folder.glob(f"wandb/run-*/files/{path}")
        assert copy.read_bytes() == (folder / f"samples/ema_{seen:010d}.png").read_bytes()
    return len(shown) > 3


def speeds(folder: Path) -> tuple[float, float]:
    """Median images per second before and after a third of the batches."""
    rows = [row["progress/images_per_second"] for row in metrics_csv(folder) if "progress/images_per_second" in row]
    return statistics.median(rows[: BATCHES // 3]), statistics.median(rows[BATCHES // 3 :])


def sync_command(caplog: pytest.LogCaptureFixture) -> str:
    """The logged command that sends the rest."""
    (line,) = (record.getMessage() for record in caplog.records if "wandb sync" in record.getMessage())
    return line[line.index("wandb sync") :]


def sent_by(command: str, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Rows that a new server receives from the command."""
    with WandbServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        subprocess.run(command.split(), env=os.environ | {"PATH": path}, check=True, capture_output=True, timeout=60)
        return server.history


@pytest.mark.parametrize(("how", "alert"), [("closed", False), ("failing", False), ("silent", True)])
def test_a_server_becomes_unreachable(
    how: str,
    alert: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    online: list[float],
) -> None:
    """With an alert, W&B's process retries it for minutes before it sends anything else or exits."""
    folder = tmp_path / "run"

    def vanish() -> None:
        server.vanish(how)
        if alert:
            logging.getLogger("gan_lab").warning("The server is silent.")

    with WandbServer() as server:
        call_in_the_middle(vanish, monkeypatch)
        part = train(folder, server, monkeypatch)
    rows, found = losses(metrics_csv(folder)), records(part)
    history = [item for item in map(as_history, found) if item]
    written = losses(history)
    assert len(rows) == BATCHES and written == pytest.approx({seen: rows[seen] for seen in list(rows)[: len(written)]})
    assert len(written) > BATCHES - 40  # the rest was in the memory of its process
    assert figures_are_complete(folder, history)
    assert [record["alert"]["text"] for record in found if "alert" in record] == ["The server is silent."] * alert
    assert len(losses(server.history)) < BATCHES
    before, after = speeds(folder)
    assert after > before / 10  # waiting for responses would be far slower
    assert len(online) == 1 and online[0] < 1 + 2 * wandb_run.EXTRA_SECONDS + 1
    assert caplog.text.count("has not received all data") == 1 and f"wandb sync --include-online {part}" in caplog.text
    assert not processes()  # the end of the program would wait for them
    if how == "closed":
        assert losses(sent_by(sync_command(caplog), monkeypatch)) == written


def test_the_process_of_wandb_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, online: list[float]
) -> None:
    """One warning, and training continues without W&B; the next run of the same program can use it again."""
    folder = tmp_path / "run"

    def kill() -> None:
        for process in processes():
            os.kill(process, signal.SIGKILL)

    call_in_the_middle(kill, monkeypatch)
    with WandbServer() as server:
        part = train(folder, server, monkeypatch)
        assert (
            caplog.text.count("W&B accepts no more data") == 1 and f"wandb sync --include-online {part}" in caplog.text
        )
        assert len(losses(metrics_csv(folder))) == BATCHES and online[0] < 1
        before, after = speeds(folder)
        assert after > before / 10  # waiting for responses would be far slower
        logger = ours.wandb_logger(str(tmp_path), str(folder / "config.yaml"), mode="online", timeout_seconds=9)
        logger.log_metrics({"train/x": 1.0, "progress/images_seen": 8})
        logger.finish()
    assert [row["train/x"] for row in server.history if "train/x" in row] == [1.0]
