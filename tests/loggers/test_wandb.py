"""W&B never stops or delays a run, asks nothing, and its offline record holds everything."""

import csv
import itertools
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb
import yaml

from gan_lab.callbacks.alarms import Alarms
from gan_lab.errors import ConfigError
from gan_lab.loggers import wandb as ours

TRAIN = (
    "debug=fast",
    "budget.images=48",
    "architecture.generator.width=8",
    "architecture.discriminator.width=8",
    "hardware=cpu",
    "~callbacks.progress",
    "callbacks.train_log.every_batches=1",
)
DEAD = "http://127.0.0.1:9"
"""Nobody listens on the discard port."""


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A user without a key, and W&B without memory of an earlier test."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "NETRC", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question"))
    wandb.teardown()
    yield
    wandb.teardown()
    assert "WANDB_MODE" not in os.environ


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Accepts connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def start(folder: Path, **options: Any) -> tuple[Any, float]:
    """The W&B run of a new logger, and how long it took to start and to finish it."""
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text("lr: 0.5\n")
    begin = time.perf_counter()
    run = ours.wandb_logger(str(folder), str(folder / "config.yaml"), **options).experiment
    run.log({"train/x": 1.0, "progress/images_seen": 8})
    run.finish()
    return run, time.perf_counter() - begin


def records(folder: Path) -> list[dict[str, Any]]:
    """What W&B's own reader finds in an offline folder."""
    tool = shutil.which("wandb", path=str(Path(sys.executable).parent))
    assert tool is not None
    out = subprocess.run([tool, "leet", "inspect", "--json", str(folder)], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in out.stdout.splitlines()]


@pytest.mark.parametrize("mode", ["auto", "online", "offline"])
def test_no_key(tmp_path: Path, mode: str) -> None:
    run, seconds = start(tmp_path / "run", mode=mode)
    assert run.offline and seconds < 10
    assert len(list((tmp_path / "run/wandb").glob("offline-run-*/*.wandb"))) == 1


def test_unreachable_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", DEAD)
    run, seconds = start(tmp_path / "run")
    assert run.offline and seconds < 10


def test_silent_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent_server: str) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", silent_server)
    run, seconds = start(tmp_path / "run")
    assert run.offline and 3 < seconds < 20


def test_online_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent_server: str) -> None:
    """Who insists on `online` waits `timeout_seconds`, and no longer."""
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", silent_server)
    run, seconds = start(tmp_path / "run", mode="online", timeout_seconds=3)
    assert run.offline and 2 < seconds < 12


def test_disabled_writes_nothing(tmp_path: Path) -> None:
    start(tmp_path / "run", mode="disabled")
    assert not list((tmp_path / "run").glob("wandb/*run-*"))


def test_unknown_mode(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"logger.wandb.mode=sometimes .*auto, online, offline or disabled"):
        start(tmp_path / "run", mode="sometimes")


def test_key_is_found_where_wandb_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://wandb.example:8080")
    assert not ours._has_key()
    file = tmp_path / "home" / ".netrc"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"machine other.example login user password {'b' * 40}\n")
    assert not ours._has_key()
    file.write_text(f"machine wandb.example login user password {'b' * 40}\n")
    assert ours._has_key()
    file.rename(tmp_path / "elsewhere")
    assert not ours._has_key()
    monkeypatch.setenv("NETRC", str(tmp_path / "elsewhere"))
    assert ours._has_key()
    monkeypatch.delenv("NETRC")
    monkeypatch.setenv("WANDB_API_KEY", "c" * 40)
    assert ours._has_key()


def as_history(record: dict[str, Any]) -> dict[str, Any]:
    """Key to value of a history record, {} for any other."""
    return record.get("history", {}).get("item", {})


def metrics_csv(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def test_offline_record_holds_the_run(command: Callable[..., Any], tmp_path: Path) -> None:
    """Three loggers at once; W&B's record against metrics.csv, config.yaml and the files on the disk."""
    outcome = command("train", *TRAIN, "logger=[csv,tensorboard,wandb]", "logger.wandb.mode=offline", "run.name=one")
    assert outcome.status == 0, outcome.err
    folder = tmp_path / "runs" / "one"
    assert list((folder / "tensorboard").glob("events.*"))
    (offline,) = (folder / "wandb").glob("offline-run-*")
    found = records(offline)
    history = [item for item in map(as_history, found) if item]
    assert all("progress/images_seen" in item for item in history)
    assert {key.partition("/")[0] for item in history for key in item} >= {"train", "time", "progress", "samples"}

    scalars = [item for item in history if "train/discriminator/adversarial" in item]
    rows = metrics_csv(folder)
    images = [row["progress/images_seen"] for row in rows]
    assert len(rows) == 3 and all(a < b for a, b in itertools.pairwise(images))
    assert [item["progress/images_seen"] for item in scalars] == images
    for item, row in zip(scalars, rows, strict=True):
        assert item["train/discriminator/adversarial"] == pytest.approx(row["train/discriminator/adversarial"])

    for kind in ("ema", "raw"):
        pictures = [item for item in history if f"samples/{kind}.path" in item]
        assert [item["progress/images_seen"] for item in pictures] == [0, 48]
        for item in pictures:
            shown = (offline / "files" / item[f"samples/{kind}.path"]).read_bytes()
            assert shown == (folder / f"samples/{kind}_{item['progress/images_seen']:010d}.png").read_bytes()

    (config,) = (record["run"]["config"]["update"] for record in found if "run" in record)
    del config["_wandb"]
    assert config == yaml.safe_load((folder / "config.yaml").read_text()) and config["batch_size"] == 16
    axes = {m.get("glob_name"): m.get("step_metric") for m in (record.get("metric", {}) for record in found)}
    assert axes["*"] == "progress/images_seen"


def test_a_warning_is_an_alert(tmp_path: Path) -> None:
    """One in a batch, and the error that ends the run; both stand in what `wandb sync` sends."""
    run, logger = tmp_path / "run", logging.getLogger("gan_lab.gans.anything")
    run.mkdir()
    (run / "config.yaml").write_text("lr: 0.5\n")
    trainer = SimpleNamespace(
        is_global_zero=True, loggers=[ours.wandb_logger(str(run), str(run / "config.yaml"), mode="offline")]
    )
    module, alarms = SimpleNamespace(images_seen=640), Alarms(str(run))
    alarms.on_fit_start(trainer, module)  # type: ignore[arg-type]
    logger.warning("The generator has %s.", "collapsed")
    alarms.on_train_batch_end(trainer, module)  # type: ignore[arg-type]
    module.images_seen = 704  # of one time every key is sent once
    alarms.on_exception(trainer, module, ArithmeticError("not a number"))  # type: ignore[arg-type]
    trainer.loggers[0].experiment.finish()
    (offline,) = (run / "wandb").glob("offline-run-*")
    found = records(offline)
    alerts = [(a["text"], a["level"]) for record in found if (a := record.get("alert"))]
    assert alerts == [("The generator has collapsed.", "WARN"), ("ArithmeticError: not a number", "ERROR")]
    counts = [(item["progress/images_seen"], item["alarms/count"]) for item in map(as_history, found) if item]
    assert counts == [(640, 1), (704, 2)]


def test_a_sweep_makes_a_run_for_each_trial(command: Callable[..., Any], tmp_path: Path) -> None:
    words = ("logger=[wandb]", "logger.wandb.mode=offline", "~callbacks.sample_grids", "~callbacks.checkpoints")
    outcome = command("train", *TRAIN, *words, "-m", "seed=0,1", f"hydra.sweep.dir={tmp_path}/sweep")
    assert outcome.status == 0, outcome.err
    files = [list((tmp_path / "sweep" / str(k) / "wandb").glob("offline-run-*/*.wandb")) for k in (0, 1)]
    assert [len(found) for found in files] == [1, 1]
    assert files[0][0].name != files[1][0].name
    for k, (file,) in enumerate(files):
        found = records(file.parent)
        assert sum(bool(as_history(record)) for record in found) == 3  # all of its own, and none of the other's
        assert any("exit" in record for record in found), f"run {k} was not finished"
    assert wandb.run is None


def test_a_server_that_vanished_costs_no_run(caplog: pytest.LogCaptureFixture) -> None:
    """What W&B raises at the end is told, and the run has ended well."""
    from gan_lab.config.fit import _finish

    class Vanished:
        class experiment:
            @staticmethod
            def finish() -> None:
                raise ConnectionError("gone")

    _finish(Vanished())
    assert "Vanished could not send everything: gone" in caplog.text
    _finish(object())  # a logger that needs no finish


def test_a_service_that_does_not_start_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where even writing offline fails, the run goes on without W&B."""
    init = wandb.init

    def broken(**options: Any) -> Any:
        if options["mode"] == "offline":
            raise RuntimeError("the service did not start")
        return init(**options)

    monkeypatch.setattr(wandb, "init", broken)
    run, seconds = start(tmp_path / "run")
    assert run.disabled and seconds < 10
    assert not list((tmp_path / "run").glob("wandb/offline-run-*"))


def test_a_run_that_goes_on_is_one_run_without_points_twice(tmp_path: Path) -> None:
    """Killed after 48 images with a checkpoint at 24: W&B has all points up to 48, and does not get those from 24 on again."""
    from gan_lab.config.compose import compose
    from gan_lab.config.fit import fit

    folder = tmp_path / "run"
    words = [
        *TRAIN,
        "logger=[wandb]",
        f"run.dir={folder}",
        "callbacks.checkpoints.every_images=16",
        "callbacks.checkpoints.keep=9",
    ]
    fit(compose(*words))
    for name in ("images_0000000032", "images_0000000048", "last"):
        (folder / "checkpoints" / f"{name}.ckpt").unlink()
    assert fit(compose(*words, "budget.images=80")).module.images_seen == 80  # from 16 on
    parts = sorted((folder / "wandb").glob("offline-run-*"))
    seen = {key: [] for key in ("train/generator/adversarial", "samples/ema.path")}
    for part in parts:
        history = [item for record in records(part) if (item := as_history(record))]
        for key, found in seen.items():
            found += [item["progress/images_seen"] for item in history if key in item]
    assert len({part.name.split("-")[-1] for part in parts}) == 1  # the id
    assert len(parts) == 2 and seen["train/generator/adversarial"] == [16, 32, 48, 64, 80]
    assert len(seen["samples/ema.path"]) == len(set(seen["samples/ema.path"]))
