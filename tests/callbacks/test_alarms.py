"""Warnings of a run are kept, counted, and never the reason why it ends."""

import csv
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback

from gan_lab.callbacks.alarms import OURS, Alarms
from gan_lab.config.build import build
from gan_lab.config.fit import fit


class Warns(Callback):
    """As any part of gan_lab does, after two of four batches."""

    def on_train_batch_start(self, trainer: Any, module: Any, *_: object) -> None:
        log = logging.getLogger("gan_lab.regularizers.some")
        log.info("nothing")
        if module.images_seen in (8, 24):
            log.warning("after %d", module.images_seen)
            logging.getLogger("somebody.else").warning("not ours")


def alarms_of(folder: Path) -> list[tuple[int, str, str]]:
    lines = [json.loads(line) for line in (folder / "alarms.jsonl").read_text().splitlines()]
    return [(line["images_seen"], line["level"], line["text"]) for line in lines]


def train(cfg: Any) -> None:
    experiment = build(cfg)
    experiment.trainer.callbacks.insert(0, Warns())  # type: ignore[attr-defined]
    experiment.trainer.fit(experiment.module, datamodule=experiment.data)


def test_warnings_are_written_and_counted(tiny: Callable[..., Any]) -> None:
    cfg = tiny("budget.images=32", "logger=[csv]", "callbacks.train_log.every_batches=1")
    before = list(OURS.handlers)
    train(cfg)
    folder = Path(cfg.run.dir)
    assert alarms_of(folder) == [(8, "WARNING", "after 8"), (24, "WARNING", "after 24")]
    with (folder / "metrics.csv").open() as lines:
        counts = [
            (row["progress/images_seen"], row["alarms/count"]) for row in csv.DictReader(lines) if row["alarms/count"]
        ]
    assert [(float(seen), float(count)) for seen, count in counts] == [(16, 1), (32, 2)]
    assert OURS.handlers == before
    train(cfg)  # as a run that goes on: the file grows
    assert len(alarms_of(folder)) == 4


def test_a_run_without_trouble_has_no_alarms(tiny: Callable[..., Any]) -> None:
    cfg = tiny("budget.images=16")
    fit(cfg)
    assert not (Path(cfg.run.dir) / "alarms.jsonl").exists()


def test_neither_a_full_disk_nor_a_logger_ends_a_run(tiny: Callable[..., Any], tmp_path: Path) -> None:
    cfg = tiny("budget.images=32")
    experiment = build(cfg)
    (alarms,) = (c for c in experiment.trainer.callbacks if isinstance(c, Alarms))  # type: ignore[attr-defined]
    alarms.file = tmp_path / "no folder" / "alarms.jsonl"

    class Broken:
        save_dir = name = version = None

        def log_metrics(self, *_: object, **__: object) -> None:
            raise ConnectionError("gone")

    experiment.module.images_seen = 8
    trainer: Any = type("Trainer", (), {"is_global_zero": True, "loggers": [Broken()]})()
    alarms.on_fit_start(trainer, experiment.module)
    OURS.warning("trouble")
    alarms.on_train_batch_end(trainer, experiment.module)
    alarms.on_exception(trainer, experiment.module, OSError(28, "No space left on device"))
    assert alarms._count == 2


@pytest.mark.parametrize("rank", [0, 1])
def test_only_the_first_process_keeps_them(tmp_path: Path, rank: int) -> None:
    trainer: Any = type("Trainer", (), {"is_global_zero": rank == 0, "loggers": []})()
    module: Any = type("Module", (), {"images_seen": 0})()
    alarms = Alarms(str(tmp_path))
    alarms.on_fit_start(trainer, module)
    OURS.warning("trouble")
    alarms.on_exception(trainer, module, KeyboardInterrupt())
    texts = [text for _, _, text in alarms_of(tmp_path)] if rank == 0 else []
    assert texts == (["trouble", "KeyboardInterrupt"] if rank == 0 else []) and (rank == 0 or not alarms.file.exists())
