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
from gan_lab.loggers.wandb_run import ResumedRun
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


def test_unknown_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"logger.wandb.checkpoints=newest .*none, last, best or all"):
        start(tmp_path / "run", checkpoints="newest")


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
    loggers = ("logger=[csv,tensorboard,wandb]", "logger.wandb.mode=offline", "logger.wandb.checkpoints=all")
    outcome = command("train", *TRAIN, *loggers, "run.name=one", "metrics=[ms_ssim]", "evaluation.samples=16")
    assert outcome.status == 0, outcome.err
    folder = tmp_path / "runs" / "one"
    assert list((folder / "tensorboard").glob("events.*"))
    (offline,) = (folder / "wandb").glob("offline-run-*")
    found = records(offline)
    history = [item for item in map(as_history, found) if item]
    assert all("progress/images_seen" in item for item in history)
    assert {key.partition("/")[0] for item in history for key in item} >= {"train", "time", "progress", "samples"}

    scalars = [item for item in history if "train/discriminator/adversarial" in item]
    rows = [row for row in metrics_csv(folder) if "train/discriminator/adversarial" in row]
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

    metrics = {m.get("glob_name") or m["name"]: m for m in (r["metric"] for r in found if "metric" in r)}
    assert metrics["*"]["step_metric"] == "progress/images_seen"
    hidden = {name for name, metric in metrics.items() if metric["options"].get("hidden")}
    assert hidden == {"progress/images_seen", *(key for row in rows for key in row if key.startswith("time/"))}
    assert not any("trainer/global_step" in item for item in history)
    assert_run_is_described(folder, found)
    assert_results_are_stored(folder, found)


def assert_run_is_described(folder: Path, found: list[dict[str, Any]]) -> None:
    """Names of the parts, all settings, facts and tags."""
    config: dict[str, Any] = {}
    for record in found:
        config |= record.get("config", {}).get("update", {})
    names = {"model": "r1_gan", "dataset": "digits", "loss": "non_saturating", "regularizer": "r1", "hardware": "cpu"}
    assert names.items() <= config.items()
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    assert {key: config["settings"].get(key, config[key]) for key in settings} == settings
    facts = json.loads((folder / "environment.json").read_text())[0]
    assert config["parameters"] == facts["parameters"] and config["training_images"] == 1797
    assert config.get("commit") == facts["commit"]
    runs = [record["run"] for record in found if "run" in record]
    assert runs[-1]["tags"] == ["r1_gan", "digits", "non_saturating"]
    assert runs[0]["job_type"] == "train" and "run_group" not in runs[0]


def assert_results_are_stored(folder: Path, found: list[dict[str, Any]]) -> None:
    """Best and last values, captions, the animation, the report, the config and checkpoints."""
    summary: dict[str, Any] = {}
    for record in found:
        summary |= record.get("summary", {}).get("update", {})
    values = [row for row in metrics_csv(folder) if "eval/ms_ssim_16" in row]
    best = min(values, key=lambda row: row["eval/ms_ssim_16"])
    assert summary["eval/ms_ssim_16"] == pytest.approx(values[-1]["eval/ms_ssim_16"])
    assert summary["best/ms_ssim_16"] == pytest.approx(best["eval/ms_ssim_16"])
    assert summary["best/ms_ssim_16_images"] == best["progress/images_seen"]

    history = [item for item in map(as_history, found) if item]
    captions = {key: item[key] for item in history for key in item if key.endswith(".caption")}
    assert captions["samples/ema.caption"] == f"48 images seen; averaged weights; rows: {', '.join('0123456789')}"
    (video,) = (item["samples/ema_video.path"] for item in history if "samples/ema_video.path" in item)
    (offline,) = (folder / "wandb").glob("offline-run-*")
    assert (offline / "files" / video).read_bytes() == (folder / "samples/ema.gif").read_bytes()

    artifacts = [record["artifact"] for record in found if "artifact" in record]
    kinds = {}
    for artifact in artifacts:
        for entry in artifact["manifest"]["contents"]:
            stored = Path(entry["local_path"]).read_bytes()
            kinds.setdefault(artifact["type"], []).append((entry["path"], sorted(artifact["aliases"]), stored))
    files = {path: stored for path, _, stored in kinds["report"]}
    assert files == {name: (folder / name).read_bytes() for name in ("report.html", "config.yaml")}
    newest = (folder / "checkpoints/last.ckpt").read_bytes()
    assert ("model.ckpt", ["last", "latest"], newest) in kinds["model"]
    assert ("model.ckpt", ["images-48", "latest"], newest) in kinds["model"]


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
        assert next(record["run"]["run_group"] for record in found if "run" in record) == "sweep"
    assert wandb.run is None


@pytest.mark.parametrize(
    ("options", "variables", "group"),
    [
        ({}, {"WANDB_SWEEP_ID": "ab12"}, "ab12"),
        ({}, {"WANDB_SWEEP_ID": "ab12", "WANDB_RUN_GROUP": "mine"}, "mine"),
        ({"group": "given"}, {"WANDB_SWEEP_ID": "ab12"}, "given"),
    ],
)
def test_the_runs_of_an_agent_are_one_group(
    options: dict[str, str],
    variables: dict[str, str],
    group: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[Any] = []

    def init(**arguments: Any) -> Any:
        given.append(arguments["group"])
        return SimpleNamespace(id="1", define_metric=lambda *_, **__: None)

    monkeypatch.setattr(wandb, "init", init)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "config.yaml").write_text("run: {name: sweep/3}\n")
    ours.wandb_logger(str(tmp_path), str(tmp_path / "config.yaml"), mode="offline", **options)
    assert given == [group]


def test_the_best_values_of_a_resumed_run(tmp_path: Path) -> None:
    """In each metric's own direction, with the images seen; also of values before the run was resumed."""
    run = SimpleNamespace(id="1", summary={}, finish=lambda: None)
    higher = {"eval/fd_10k": False, "eval/raw/pr_recall_10k": True, "eval/unknown_10k": None}
    for start, found in ((0, [(3.0, 0.1), (2.0, 0.4), (float("nan"), 0.3)]), (300, [(2.5, 0.5)])):
        logger = ResumedRun(run, str(tmp_path), "project", 1)  # type: ignore[arg-type]
        run.summary = {}
        for k, values in enumerate(found):
            logger.log_best(dict(zip(higher, (*values, 1.0), strict=True)), higher, start + 100 * (k + 1))
    assert run.summary == {
        "best/fd_10k": 2.0,
        "best/fd_10k_images": 200,
        "best/raw/pr_recall_10k": 0.5,
        "best/raw/pr_recall_10k_images": 400,
    }


def test_the_history_of_dropped_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It cannot be deleted: a warning names it, and its best values are not those of the run."""
    run = SimpleNamespace(
        id="1", summary={}, finish=lambda: None, log=lambda row: None, define_metric=lambda *_, **__: None
    )
    logger = ResumedRun(run, str(tmp_path), "project", 1)  # type: ignore[arg-type]
    for seen, value in ((100, 3.0), (200, 2.0)):
        logger.log_metrics({"progress/images_seen": seen, "eval/fd": value})
        logger.log_best({"eval/fd": value}, {"eval/fd": False}, seen)
    logger = ResumedRun(run, str(tmp_path), "project", 1)  # type: ignore[arg-type]
    logger.leave_history(200)
    assert not caplog.records
    logger.leave_history(100)
    assert "those after 100 images, up to 200, are of weights that the run has dropped" in caplog.text
    logger.log_best({"eval/fd": 2.5}, {"eval/fd": False}, 200)
    assert run.summary == {"best/fd": 2.5, "best/fd_images": 200}


def test_a_run_that_returns_with_other_settings_reports_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from gan_lab.config.compose import compose
    from gan_lab.training.fit import fit

    every = ("callbacks.checkpoints.every_images=16", "callbacks.checkpoints.keep=9")
    overrides = [*TRAIN, "logger=[wandb]", f"run.dir={tmp_path}/run", *every]
    fit(compose(*overrides))
    first = f"resume={tmp_path}/run/checkpoints/images_0000000016.ckpt"
    fit(compose(*overrides, first))
    assert "W&B cannot delete rows" not in caplog.text  # the rows are the same again
    fit(compose(*overrides, first, "lr=1e-5", "allow_changes=true"))
    assert "W&B cannot delete rows: those after 16 images, up to 48" in caplog.text


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
