"""TensorBoard's page of hyperparameters shows what a run is, and its metrics."""

from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from gan_lab.loggers.description import RunDescription
from gan_lab.loggers.tensorboard import EventFiles

CONFIG = {"lr": 0.5, "loss": {"_target_": "x"}, "optimizer": {"generator": {"lr": 0.25, "eps": 1e-8}}}


def logged(folder: Path, *rows: dict[str, float]) -> tuple[EventAccumulator, dict[str, Any]]:
    """The events of a run with these rows, and the data of its hyperparameters by tag."""
    logger = EventFiles(str(folder))
    logger.describe(RunDescription(CONFIG, {"loss": "hinge"}, {"training_images": 9}, ["optimizer.generator.lr"]))
    for k, row in enumerate(rows):
        logger.log_metrics(row, step=10 * k)
    logger.finalize("success")
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    data = {tag: each.plugin_data.content for tag, each in events.summary_metadata.items() if "_hparams_" in tag}
    return events, {tag.rpartition("/")[2]: HParamsPluginData.FromString(content) for tag, content in data.items()}


def test_hyperparameters_with_metrics(tmp_path: Path) -> None:
    """Names, single values and what was typed; the metrics are the logged values with the same keys."""
    events, found = logged(tmp_path, {"eval/fd_10k": 3.0, "eval/seconds": 1.0}, {"eval/fd_10k": 2.0, "train/x": 1.0})
    start = found["session_start_info"].session_start_info.hparams
    values = {key: value.string_value or value.number_value for key, value in start.items()}
    assert values == {"lr": 0.5, "loss": "hinge", "optimizer.generator.lr": 0.25, "training_images": 9}
    assert [metric.name.tag for metric in found["experiment"].experiment.metric_infos] == ["eval/fd_10k"]
    assert [(event.step, event.value) for event in events.Scalars("eval/fd_10k")] == [(0, 3.0), (10, 2.0)]


def test_without_metrics_of_samples(tmp_path: Path) -> None:
    _, found = logged(tmp_path, {"train/generator/adversarial": 1.0, "train/lr/generator": 0.1, "time/data": 0.5})
    assert [metric.name.tag for metric in found["experiment"].experiment.metric_infos] == [
        "train/generator/adversarial"
    ]
