"""An online run loses W&B's server, or W&B's own process, in the middle: it trains on and ends in time."""

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
from tests.loggers.test_wandb import TRAIN, as_history, metrics_csv, nobody, records
from tests.loggers.wandb_server import WandbServer

from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from gan_lab.loggers import wandb as ours

__all__ = ["nobody"]  # a fixture

BATCHES, BATCH = 120, 4
WORDS = (
    *TRAIN,
    "logger=[csv,wandb]",
    "logger.wandb.mode=online",
    "logger.wandb.timeout_seconds=1",
    f"batch_size={BATCH}",
    f"budget.images={BATCHES * BATCH}",
    "callbacks.sample_grids.every_images=80",
)


@pytest.fixture(autouse=True)
def online(nobody: None, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A user with a key. The seconds that each run waits at its end."""
    init, finish = wandb.init, ours.ContinuedRun.finish
    waits: list[float] = []

    def patient(**options: Any) -> Any:
        options["settings"].init_timeout = 60  # a busy machine may be slow, and the limit here is for the end
        return init(**options)

    def timed(logger: ours.ContinuedRun) -> None:
        begin = time.perf_counter()
        finish(logger)
        waits.append(time.perf_counter() - begin)

    monkeypatch.setattr(wandb, "init", patient)
    monkeypatch.setattr(ours.ContinuedRun, "finish", timed)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    return waits


def in_the_middle(act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do it when a third of the images have been seen."""
    log, todo = ours.ContinuedRun.log_metrics, [act]

    def acted(logger: ours.ContinuedRun, metrics: dict[str, Any], step: int | None = None) -> None:
        if todo and metrics["progress/images_seen"] >= BATCHES * BATCH // 3:
            todo.pop()()
        log(logger, metrics, step)

    monkeypatch.setattr(ours.ContinuedRun, "log_metrics", acted)


def processes() -> list[int]:
    """W&B's own of this process."""
    listed = subprocess.run(["ps", "-o", "pid=,ppid=,stat=,comm=", "-A"], capture_output=True, text=True, check=True)
    lines = [line.split(maxsplit=3) for line in listed.stdout.splitlines()]
    ours = [line for line in lines if line[1] == str(os.getpid()) and "wandb-core" in line[3]]
    return [int(pid) for pid, _, state, _ in ours if not state.startswith("Z")]


def train(folder: Path, server: WandbServer, monkeypatch: pytest.MonkeyPatch, *words: str) -> Path:
    """A whole run, and W&B's folder of it."""
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    assert fit(compose(*WORDS, f"run.dir={folder}", *words)).module.images_seen == BATCHES * BATCH
    assert json.loads((folder / "state.json").read_text())["state"] == "finished"
    assert wandb.run is None
    (found,) = (folder / "wandb").glob("run-*-*")
    return found


def losses(rows: list[dict[str, Any]]) -> dict[float, float]:
    """Images seen to a loss, of the rows that have it, and no row twice."""
    key = "train/generator/adversarial"
    found = [(row["progress/images_seen"], row[key]) for row in rows if key in row]
    assert len(dict(found)) == len(found)
    return dict(found)


def pictures_are_whole(folder: Path, history: list[dict[str, Any]]) -> bool:
    """Whether the pictures of the record are those of the run."""
    shown = [(row["progress/images_seen"], row["samples/ema.path"]) for row in history if "samples/ema.path" in row]
    for seen, path in shown:
        (copy,) = folder.glob(f"wandb/run-*/files/{path}")
        assert copy.read_bytes() == (folder / f"samples/ema_{seen:010d}.png").read_bytes()
    return len(shown) > 3


def speeds(folder: Path) -> tuple[float, float]:
    """Images per second before and after a third of the batches: medians."""
    rows = [row["progress/images_per_second"] for row in metrics_csv(folder) if "progress/images_per_second" in row]
    return statistics.median(rows[: BATCHES // 3]), statistics.median(rows[BATCHES // 3 :])


def told(caplog: pytest.LogCaptureFixture) -> str:
    """The command that the user is told to send the rest with."""
    (line,) = (record.getMessage() for record in caplog.records if "wandb sync" in record.getMessage())
    return line[line.index("wandb sync") :]


def sent_by(command: str, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The rows that arrive at a server which is there again."""
    with WandbServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        subprocess.run(command.split(), env=os.environ | {"PATH": path}, check=True, capture_output=True, timeout=60)
        return server.history


@pytest.mark.parametrize(("how", "alert"), [("closed", False), ("failing", False), ("silent", True)])
def test_a_server_vanishes(
    how: str,
    alert: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    online: list[float],
) -> None:
    """W&B's process repeats an alert for minutes before it sends or ends anything else."""
    folder = tmp_path / "run"

    def vanish() -> None:
        server.vanish(how)
        if alert:
            logging.getLogger("gan_lab").warning("The server is silent.")

    with WandbServer() as server:
        in_the_middle(vanish, monkeypatch)
        part = train(folder, server, monkeypatch)
    rows, found = losses(metrics_csv(folder)), records(part)
    history = [item for item in map(as_history, found) if item]
    kept = losses(history)
    assert len(rows) == BATCHES and kept == pytest.approx({seen: rows[seen] for seen in list(rows)[: len(kept)]})
    assert len(kept) > BATCHES - 40  # what its process still had when it was ended
    assert pictures_are_whole(folder, history)
    assert [record["alert"]["text"] for record in found if "alert" in record] == ["The server is silent."] * alert
    assert len(losses(server.history)) < BATCHES
    before, after = speeds(folder)
    assert after > before / 10  # waiting for an answer would cost far more
    assert len(online) == 1 and online[0] < 1 + 2 * ours.GRACE_SECONDS + 1
    assert caplog.text.count("has not got everything") == 1 and f"wandb sync --include-online {part}" in caplog.text
    assert not processes()  # for which the end of the program would wait
    if how == "closed":
        assert losses(sent_by(told(caplog), monkeypatch)) == kept


def test_the_process_of_wandb_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, online: list[float]
) -> None:
    """One warning, and the run goes on without W&B; the next run of the program has it again."""
    folder = tmp_path / "run"

    def kill() -> None:
        for process in processes():
            os.kill(process, signal.SIGKILL)

    in_the_middle(kill, monkeypatch)
    with WandbServer() as server:
        part = train(folder, server, monkeypatch)
        assert (
            caplog.text.count("W&B takes nothing any more") == 1
            and f"wandb sync --include-online {part}" in caplog.text
        )
        assert len(losses(metrics_csv(folder))) == BATCHES and online[0] < 1
        before, after = speeds(folder)
        assert after > before / 10  # waiting for an answer would cost far more
        logger = ours.wandb_logger(str(tmp_path), str(folder / "config.yaml"), mode="online", timeout_seconds=9)
        logger.log_metrics({"train/x": 1.0, "progress/images_seen": 8})
        logger.finish()
    assert [row["train/x"] for row in server.history if "train/x" in row] == [1.0]
