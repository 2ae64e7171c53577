"""Warnings of a run are recorded and counted, and recording them never ends the run."""

import csv
import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch import Callback

from gan_lab.callbacks.warning_log import ROOT_LOGGER, WarningLog
from gan_lab.config.build import build
from gan_lab.training.fit import fit


class LogWarnings(Callback):
    """Log a warning in two of four batches, as any module of gan_lab may."""

    def on_train_batch_start(self, trainer: Any, module: Any, *_: object) -> None:
        log = logging.getLogger("gan_lab.regularizers.some")
        log.info("nothing")
        if module.images_seen in (8, 24):
            log.warning("after %d", module.images_seen)
            logging.getLogger("another.package").warning("not of gan_lab")


def warnings_of(folder: Path) -> list[tuple[int, str, str]]:
    lines = [json.loads(line) for line in (folder / "warnings.jsonl").read_text().splitlines()]
    return [(line["images_seen"], line["level"], line["text"]) for line in lines]


def train(cfg: Any) -> None:
    experiment = build(cfg)
    experiment.trainer.callbacks.insert(0, LogWarnings())  # type: ignore[attr-defined]
    experiment.trainer.fit(experiment.module, datamodule=experiment.data)


def test_warnings_are_written_and_counted(tiny: Callable[..., Any]) -> None:
    cfg = tiny("budget.images=32", "logger=[csv]", "callbacks.train_log.every_batches=1")
    before = list(ROOT_LOGGER.handlers)
    train(cfg)
    folder = Path(cfg.run.dir)
    assert warnings_of(folder) == [(8, "WARNING", "after 8"), (24, "WARNING", "after 24")]
    with (folder / "metrics.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["warnings/count"]]
    counts = [(float(row["progress/images_seen"]), float(row["warnings/count"])) for row in rows]
    assert counts == [(16, 1), (32, 2)]
    assert ROOT_LOGGER.handlers == before
    train(cfg)  # as in a resumed run, lines are appended
    assert len(warnings_of(folder)) == 4


def test_no_file_without_warnings(tiny: Callable[..., Any]) -> None:
    cfg = tiny("budget.images=16")
    fit(cfg)
    assert not (Path(cfg.run.dir) / "warnings.jsonl").exists()


def test_neither_an_unwritable_file_nor_a_failing_logger_ends_a_run(tiny: Callable[..., Any], tmp_path: Path) -> None:
    cfg = tiny("budget.images=32")
    experiment = build(cfg)
    (warning_log,) = (c for c in experiment.trainer.callbacks if isinstance(c, WarningLog))  # type: ignore[attr-defined]
    warning_log.file = tmp_path / "missing folder" / "warnings.jsonl"

    counts = []

    class Failing:
        save_dir = name = version = None

        def log_metrics(self, row: dict[str, float], **_: object) -> None:
            counts.append(row["warnings/count"])
            raise ConnectionError("gone")

    experiment.module.images_seen = 8
    trainer: Any = type("Trainer", (), {"is_global_zero": True, "loggers": [Failing()]})()
    warning_log.on_fit_start(trainer, experiment.module)
    ROOT_LOGGER.warning("trouble")
    warning_log.on_train_batch_end(trainer, experiment.module)
    warning_log.on_exception(trainer, experiment.module, OSError(28, "No space left on device"))
    assert counts == [1, 2]


@pytest.mark.parametrize("rank", [0, 1])
def test_only_the_first_process_records(tmp_path: Path, rank: int) -> None:
    trainer: Any = type("Trainer", (), {"is_global_zero": rank == 0, "loggers": []})()
    module: Any = type("Module", (), {"images_seen": 0})()
    warning_log = WarningLog(str(tmp_path))
    warning_log.on_fit_start(trainer, module)
    ROOT_LOGGER.warning("trouble")
    warning_log.on_exception(trainer, module, ValueError("some"))
    assert warning_log.file.exists() == (rank == 0)
    if rank == 0:
        assert [text for _, _, text in warnings_of(tmp_path)] == ["trouble", "ValueError: some"]


def test_a_second_ctrl_c_is_not_recorded(tmp_path: Path) -> None:
    """It stays at the top of the report of a run that is then resumed and ends well."""
    for exception in (KeyboardInterrupt(), ValueError("some")):
        callback = WarningLog(str(tmp_path))
        trainer, module = SimpleNamespace(is_global_zero=True, loggers=[]), SimpleNamespace(images_seen=8)
        callback.on_fit_start(trainer, module)  # type: ignore[arg-type]
        callback.on_exception(trainer, module, exception)  # type: ignore[arg-type]
    assert warnings_of(tmp_path) == [(8, "ERROR", "ValueError: some")]
