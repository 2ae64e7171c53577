"""W&B never stops or delays a run or prompts for input, and its offline files are complete."""

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

from gan_lab.callbacks.warning_log import WarningLog
from gan_lab.errors import ConfigError
from gan_lab.loggers import wandb as ours
from gan_lab.runs.state import RunState

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
"""No server listens on the discard port."""


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A user without an API key, and W&B without state of an earlier test."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "NETRC", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a prompt"))
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
    """The W&B run of a new logger, and the seconds to start and to finish it."""
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text("lr: 0.5\n")
    begin = time.perf_counter()
    run = ours.wandb_logger(str(folder), str(folder / "config.yaml"), **options).experiment
    run.log({"train/x": 1.0, "progress/images_seen": 8})
    run.finish()
    return run, time.perf_counter() - begin


def records(folder: Path) -> list[dict[str, Any]]:
    """Records of an offline folder, read with W&B's own reader."""
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
    """Mode `online` waits at most `timeout_seconds` for the server."""
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


@pytest.mark.parametrize(
    ("host", "file", "variables", "found"),
    [
        (None, None, {}, False),
        ("other.example", "home/.netrc", {}, False),
        ("wandb.example", "home/.netrc", {}, True),
        ("wandb.example", "elsewhere", {}, False),
        ("wandb.example", "elsewhere", {"NETRC": "{folder}/elsewhere"}, True),
        (None, None, {"WANDB_API_KEY": "c" * 40}, True),
    ],
)
def test_sources_of_the_api_key(
    host: str | None,
    file: str | None,
    variables: dict[str, str],
    found: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Mode `online` starts an online run with a key, and an offline run without one."""
    init, modes = wandb.init, []

    def recorded(**options: Any) -> Any:
        modes.append(options["mode"])
        return init(**options | {"mode": "disabled"})

    monkeypatch.setattr(wandb, "init", recorded)
    monkeypatch.setenv("WANDB_BASE_URL", "http://wandb.example:8080")
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(folder=tmp_path))
    if file is not None:
        (tmp_path / "home").mkdir(exist_ok=True)
        (tmp_path / file).write_text(f"machine {host} login user password {'b' * 40}\n")
    start(tmp_path / "run", mode="online")
    assert modes == ["online" if found else "offline"]


def as_history(record: dict[str, Any]) -> dict[str, Any]:
    """Values of a history record by key; {} for other records."""
    return record.get("history", {}).get("item", {})


def metrics_csv(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def test_offline_files_contain_the_run(command: Callable[..., Any], tmp_path: Path) -> None:
    """With three loggers: W&B's records equal metrics.csv, config.yaml and the files on the disk."""
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
        figures = [item for item in history if f"samples/{kind}.path" in item]
        assert [item["progress/images_seen"] for item in figures] == [0, 48]
        for item in figures:
            logged = (offline / "files" / item[f"samples/{kind}.path"]).read_bytes()
            assert logged == (folder / f"samples/{kind}_{item['progress/images_seen']:010d}.png").read_bytes()

    (config,) = (record["run"]["config"]["update"] for record in found if "run" in record)
    del config["_wandb"]
    assert config == yaml.safe_load((folder / "config.yaml").read_text()) and config["batch_size"] == 16
    axes = {m.get("glob_name"): m.get("step_metric") for m in (record.get("metric", {}) for record in found)}
    assert axes["*"] == "progress/images_seen"


def test_warnings_are_alerts(tmp_path: Path) -> None:
    """A warning in a batch and the error that ends the run are in the files that `wandb sync` sends."""
    run, logger = tmp_path / "run", logging.getLogger("gan_lab.gans.anything")
    run.mkdir()
    (run / "config.yaml").write_text("lr: 0.5\n")
    trainer = SimpleNamespace(
        is_global_zero=True, loggers=[ours.wandb_logger(str(run), str(run / "config.yaml"), mode="offline")]
    )
    module, warning_log = SimpleNamespace(images_seen=640), WarningLog(str(run))
    warning_log.on_fit_start(trainer, module)  # type: ignore[arg-type]
    logger.warning("The generator has %s.", "collapsed")
    warning_log.on_train_batch_end(trainer, module)  # type: ignore[arg-type]
    module.images_seen = 704  # each key is sent once for the same images seen
    warning_log.on_exception(trainer, module, ArithmeticError("not a number"))  # type: ignore[arg-type]
    trainer.loggers[0].experiment.finish()
    (offline,) = (run / "wandb").glob("offline-run-*")
    found = records(offline)
    alerts = [(a["text"], a["level"]) for record in found if (a := record.get("alert"))]
    assert alerts == [("The generator has collapsed.", "WARN"), ("ArithmeticError: not a number", "ERROR")]
    counts = [(item["progress/images_seen"], item["warnings/count"]) for item in map(as_history, found) if item]
    assert counts == [(640, 1), (704, 2)]


def test_a_sweep_has_one_wandb_run_for_each_job(command: Callable[..., Any], tmp_path: Path) -> None:
    overrides = ("logger=[wandb]", "logger.wandb.mode=offline", "~callbacks.sample_grids", "~callbacks.checkpoints")
    outcome = command("train", *TRAIN, *overrides, "-m", "seed=0,1", f"hydra.sweep.dir={tmp_path}/sweep")
    assert outcome.status == 0, outcome.err
    files = [list((tmp_path / "sweep" / str(k) / "wandb").glob("offline-run-*/*.wandb")) for k in (0, 1)]
    assert [len(found) for found in files] == [1, 1]
    assert files[0][0].name != files[1][0].name
    for k, (file,) in enumerate(files):
        found = records(file.parent)
        assert sum(bool(as_history(record)) for record in found) == 3  # all rows of this run and none of the other
        assert any("exit" in record for record in found), f"run {k} was not finished"
    assert wandb.run is None


def test_an_unreachable_server_does_not_fail_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An error of a logger at the end is logged and the run is finished; loggers without `finish` are supported."""
    from gan_lab.config.compose import compose
    from gan_lab.training.fit import fit

    overrides = (
        "logger=[csv]",
        "+logger.vanished._target_=tests.helpers.vanished_logger.Vanished",
        "allow_targets=[tests]",
    )
    fit(compose(*TRAIN, *overrides, f"run.dir={tmp_path}"))
    assert "Vanished could not send all data: gone" in caplog.text
    assert caplog.text.count("could not send all data") == 1
    assert RunState(tmp_path).finished and (tmp_path / "metrics.csv").is_file()


def test_training_continues_if_the_wandb_service_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If writing offline fails as well, the run continues without W&B."""
    init = wandb.init

    def broken(**options: Any) -> Any:
        if options["mode"] == "offline":
            raise RuntimeError("the service did not start")
        return init(**options)

    monkeypatch.setattr(wandb, "init", broken)
    run, seconds = start(tmp_path / "run")
    assert run.disabled and seconds < 10
    assert not list((tmp_path / "run").glob("wandb/offline-run-*"))


def test_a_resumed_run_is_one_run_without_duplicate_points(tmp_path: Path) -> None:
    """Resumed at 16 after 48 images: W&B already has the points up to 48 and does not receive them again."""
    from gan_lab.config.compose import compose
    from gan_lab.training.fit import fit

    folder = tmp_path / "run"
    overrides = [
        *TRAIN,
        "logger=[wandb]",
        f"run.dir={folder}",
        "callbacks.checkpoints.every_images=16",
        "callbacks.checkpoints.keep=9",
    ]
    fit(compose(*overrides))
    for name in ("images_0000000032", "images_0000000048", "last"):
        (folder / "checkpoints" / f"{name}.ckpt").unlink()
    assert fit(compose(*overrides, "budget.images=80")).module.images_seen == 80  # resumed from 16
    parts = sorted((folder / "wandb").glob("offline-run-*"))
    seen = {key: [] for key in ("train/generator/adversarial", "samples/ema.path")}
    for part in parts:
        history = [item for record in records(part) if (item := as_history(record))]
        for key, found in seen.items():
            found += [item["progress/images_seen"] for item in history if key in item]
    ids = {part.name.split("-")[3] for part in parts}  # offline-run-TIME-ID; W&B appends -1 within the same second
    assert len(ids) == 1
    assert len(parts) == 2 and seen["train/generator/adversarial"] == [16, 32, 48, 64, 80]
    assert len(seen["samples/ema.path"]) == len(set(seen["samples/ema.path"]))
