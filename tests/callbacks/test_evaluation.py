"""Evaluation during training: metric values, their files, and that training is not affected."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import Logger
from torch import Tensor
from torchmetrics import MeanMetric

from gan_lab.callbacks.evaluation import EVALUATED_LATENTS, Evaluation
from gan_lab.config.build import build
from gan_lab.config.compose import compose
from gan_lab.data.mixtures import ring
from gan_lab.errors import ConfigError
from gan_lab.metrics.measuring import append_records
from gan_lab.metrics.points import HistogramDivergence
from gan_lab.metrics.protocol import Measurement
from gan_lab.training.fit import fit
from gan_lab.version import __version__
from tests.conftest import TINY
from tests.helpers.evaluation_runs import MEASURED, Scripted, evaluated, lines, settings
from tests.helpers.pixel_features import pixel_features

pytestmark = pytest.mark.filterwarnings("ignore:Found .* in eval mode", "ignore:Experiment logs directory")

VALUES = (
    "coverage_modes", "coverage_high_quality", "coverage_reverse_kl", "kl_symmetric", "kl_forward", "kl_reverse",
    "wasserstein_distance",
)  # fmt: skip
KEYS = {f"{value}_700" for value in VALUES}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 96 points in batches of 8, evaluated every 30."""
    folder = tmp_path_factory.mktemp("run")
    fit(compose(*settings(folder, *MEASURED, "evaluation.every_images=30", "callbacks.train_log.every_batches=5")))
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv") as file:
        return [{key: text for key, text in row.items() if text} for row in csv.DictReader(file)]


def test_evaluations_and_training_log_are_in_one_metrics_csv(run: Path) -> None:
    evaluated = [row for row in rows(run) if "eval/seconds" in row]
    trained = [row for row in rows(run) if "train/lr/generator" in row]
    assert [float(row["progress/images_seen"]) for row in evaluated] == [32, 64, 96]
    assert [float(row["progress/images_seen"]) for row in trained] == [40, 80, 96]  # no row is lost when keys are added
    for row in evaluated:
        assert {key for key in row if key.startswith("eval/")} == {"eval/seconds"} | {
            f"{prefix}{key}" for key in KEYS for prefix in ("eval/", "eval/raw/")
        }


def test_results_contain_their_protocol(run: Path) -> None:
    results = json.loads((run / "results.json").read_text())
    assert set(results) == {f"{prefix}{key}" for key in KEYS for prefix in ("eval/", "eval/raw/")}
    common = {
        "samples": 700,
        "seed": 0,
        "images_seen": 96,
        "batch_norm": "running",
        "truncation": None,
        "version": __version__,
    }
    newest = [row for row in rows(run) if "eval/seconds" in row][-1]
    entry = results["eval/raw/kl_symmetric_700"]
    assert entry == common | {
        "value": float(newest["eval/raw/kl_symmetric_700"]), "ideal_value": entry["ideal_value"],
        "weights": "raw", "bins": 50, "extent": 3.0, "eps": 1e-6,
    }  # fmt: skip
    assert (
        results["eval/coverage_modes_700"]["ideal_value"] == 8
        and results["eval/coverage_modes_700"]["weights"] == "ema"
    )
    assert results["eval/wasserstein_distance_700"]["points"] == 50


@pytest.mark.parametrize(("average", "key"), [(True, "eval/kl_symmetric_700"), (False, "eval/raw/kl_symmetric_700")])
def test_values_are_those_of_the_generator(average: bool, key: str, tmp_path: Path) -> None:
    different_weights = ("lr=0.02", "evaluation.batch_size=700")
    module = fit(compose(*settings(tmp_path, *MEASURED, *different_weights))).module
    metric = HistogramDivergence(ring())
    metric.update(module.generate(module.sample_inputs(700, 0, EVALUATED_LATENTS)[0], average=average))
    results = json.loads((tmp_path / "results.json").read_text())
    assert results[key]["value"] == metric.compute()["symmetric"]
    assert results["eval/kl_symmetric_700"]["value"] != results["eval/raw/kl_symmetric_700"]["value"]


def test_training_is_not_affected(tmp_path: Path) -> None:
    """The same weights and statistics, bit for bit, with dropout and batch norm in the networks."""
    layers = ("architecture.generator.norm=batch", "architecture.discriminator.dropout=0.3")
    often = ("evaluation.every_images=8",)
    evaluated_run = fit(compose(*settings(tmp_path / "a", *layers, *MEASURED, *often))).module.state_dict()
    plain_run = fit(compose(*settings(tmp_path / "b", *layers))).module.state_dict()
    assert evaluated_run.keys() == plain_run.keys() and any("running_mean" in key for key in plain_run)
    for key, value in plain_run.items():
        assert (
            torch.equal(evaluated_run[key], value) if isinstance(value, torch.Tensor) else evaluated_run[key] == value
        )


def test_labels_are_sampled_for_a_conditional_gan(tmp_path: Path) -> None:
    fit(compose(*settings(tmp_path, *MEASURED, "conditioning=concat")))
    assert json.loads((tmp_path / "results.json").read_text())["eval/coverage_modes_700"]["samples"] == 700


def test_any_torchmetric_can_be_used(tmp_path: Path) -> None:
    """One without protocol or ideal value, and one whose value is NaN, which JSON cannot represent."""
    cfg = compose(*settings(tmp_path))
    experiment = build(cfg)
    experiment.trainer.callbacks.append(
        Evaluation({"mean": MeanMetric("ignore"), "bad": _Nan()}, str(tmp_path), 96, 700)
    )
    experiment.trainer.fit(experiment.module, datamodule=experiment.data)
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results["eval/mean_700"]) == {
        "value",
        "ideal_value",
        "weights",
        "samples",
        "seed",
        "images_seen",
        "batch_norm",
        "truncation",
        "version",
    }
    assert results["eval/mean_700"]["value"] is not None and results["eval/bad_700"]["value"] is None


class _Nan(MeanMetric):
    def compute(self) -> torch.Tensor:
        return super().compute() * float("nan")


def test_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"metrics=points needs points .*dataset=ring"):
        build(compose(*TINY, f"run.dir={tmp_path}", "metrics=points"))


@pytest.mark.parametrize("name", ["samples", "batch_size", "every_images", "times", "real_images"])
def test_numbers_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^evaluation.{name}=0 .*at least 1"):
        Evaluation({}, ".", **{"budget_images": 100, name: 0})


# --- evaluations.csv, and resumed runs


def test_the_file_has_every_value_with_its_protocol(run: Path) -> None:
    found = lines(run)
    assert [(int(row["images_seen"]), row["weights"], row["key"]) for row in found] == [
        (seen, weights, row["key"]) for seen in (32, 64, 96) for weights in ("ema", "raw") for row in found[: len(KEYS)]
    ]
    results = json.loads((run / "results.json").read_text())
    for row in found[-2 * len(KEYS) :]:
        record = results[("eval/" if row["weights"] == "ema" else "eval/raw/") + row["key"]]
        assert float(row["value"]) == record.pop("value")
        assert (float(row["ideal_value"]) if row["ideal_value"] else None) == record.pop("ideal_value")
        assert json.loads(row["protocol"]) == record
    logged = {row["progress/images_seen"]: row for row in rows(run) if "eval/seconds" in row}
    for row in found:
        prefix = "eval/" if row["weights"] == "ema" else "eval/raw/"
        assert float(row["value"]) == float(logged[f"{row['images_seen']}"][prefix + row["key"]])


def test_a_resumed_run_has_no_duplicate_rows(tmp_path: Path) -> None:
    often = settings(tmp_path, *MEASURED, "evaluation.every_images=30")
    overrides = [override for override in often if "checkpoints" not in override]
    overrides.append("callbacks.checkpoints.every_images=30")
    fit(compose(*overrides))
    complete, results = lines(tmp_path), (tmp_path / "results.json").read_text()
    fit(compose(*overrides, f"resume={tmp_path}/checkpoints/images_0000000064.ckpt"))
    assert lines(tmp_path) == complete and (tmp_path / "results.json").read_text() == results
    # At the end of the budget nothing is trained. Rows that `gan-lab evaluate` wrote for this checkpoint are kept.
    append_records(tmp_path / "evaluations.csv", 96, "ema", {"fid_50k": Measurement(1.5)})
    extended = lines(tmp_path)
    fit(compose(*overrides, f"resume={tmp_path}"))
    assert sorted(lines(tmp_path), key=str) == sorted(extended, key=str)
    assert (tmp_path / "results.json").read_text() == results
    shutil.rmtree(tmp_path / "checkpoints")
    fit(compose(*overrides))  # from scratch
    assert lines(tmp_path) == complete


# --- custom metrics and loggers


class Recording(MeanMetric):
    """Metric that records the labels it receives."""

    takes_labels = True

    def __init__(self) -> None:
        super().__init__("ignore")
        self.given: list[Tensor] = []

    def update(self, samples: Tensor, labels: Tensor) -> None:  # type: ignore[override]
        self.given.append(labels)
        super().update(samples)


class RecordingLogger(Logger):
    """Logger that records metrics and protocols."""

    name, version = "recording", 0

    def __init__(self) -> None:
        super().__init__()
        self.metrics: list[dict[str, float]] = []
        self.protocols: list[dict[str, Any]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.metrics.append(metrics)

    def log_hyperparams(self, params: dict[str, Any], *_: object, **__: object) -> None:
        self.protocols += [params["protocol"]] if "protocol" in params else []


def test_no_evaluation_without_metrics(tmp_path: Path) -> None:
    logger = RecordingLogger()
    evaluated(tmp_path, {}, loggers=[logger])
    evaluated(tmp_path, {"none": None}, loggers=[logger])  # as with evaluation.metrics.kl=null
    assert {path.name for path in tmp_path.iterdir()} <= {"config.yaml", "metrics.csv", "environment.json"}
    assert not logger.protocols and not any("eval/seconds" in row for row in logger.metrics)


def test_metrics_receive_the_labels_of_the_samples(tmp_path: Path) -> None:
    metric = Recording()
    module = evaluated(tmp_path, {"x": metric}, "conditioning=concat", batch_size=5, every_images=96).module
    expected = module.sample_inputs(16, 0, EVALUATED_LATENTS)[1]
    assert expected is not None and [len(part) for part in metric.given] == 2 * [5, 5, 5, 1]  # ema and raw
    assert torch.equal(torch.cat(metric.given), torch.cat([expected, expected]))
    assert len(expected.unique()) > 1


def test_loggers_receive_the_protocol_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = RecordingLogger()
    monkeypatch.setattr(CSVLogger, "log_hyperparams", lambda *_: pytest.fail("it would write a file for it"))
    evaluated(tmp_path, {"x": Scripted([1, 2, float("nan")])}, loggers=[logger, CSVLogger(tmp_path, "", "")])
    evaluations = [row for row in logger.metrics if "eval/seconds" in row]
    assert [row["eval/x_up_16"] for row in evaluations[:2]] == [1, 2] and evaluations[2]["eval/x_up_16"] != 2
    assert [row["progress/images_seen"] for row in evaluations] == [32, 64, 96]
    (protocol,) = logger.protocols
    common = {"samples": 16, "seed": 0, "batch_norm": "running", "truncation": None, "version": __version__}
    assert protocol == {
        f"{prefix}x_{part}_16": common | {"weights": weights}
        for prefix, weights in (("eval/", "ema"), ("eval/raw/", "raw"))
        for part in ("up", "down")
    }


# --- features


FEATURES = (
    "allow_targets=[tests.helpers.pixel_features]",
    *(
        f"evaluation.metrics.{name}.extractor={{_target_:tests.helpers.pixel_features.pixel_features}}"
        for name in ("fd", "kd", "pr")
    ),
    "metrics=[fd,kd,pr]",
    "evaluation.samples=20",
    "evaluation.real_images=30",
    "evaluation.max_time_fraction=1",
)


def test_training_is_not_affected_by_metrics_of_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On digits; the statistics of real images are computed in one run and read from the cache in the other."""
    monkeypatch.setenv("GAN_LAB_CACHE", str(tmp_path / "cache"))
    overrides = [*TINY, "budget.images=32", "augment=diffaugment", "dataset.flip=true"]
    states, results = [], []
    for name, more in {"a": FEATURES, "b": FEATURES, "c": ()}.items():
        measured = [*more, "evaluation.every_images=8"] if more else []
        states.append(fit(compose(*overrides, f"run.dir={tmp_path / name}", *measured)).module.state_dict())
        results += [json.loads((tmp_path / name / "results.json").read_text())] if more else []
    assert any("running_mean" in key for key in states[0])
    for key, value in states[2].items():
        for other in (state[key] for state in states[:2]):
            assert torch.equal(other, value) if isinstance(value, torch.Tensor) else other == value
    assert results[0] == results[1] and len(list((tmp_path / "cache/reals").glob("*.pt"))) == 2
    assert results[0]["eval/fd_pixels_20"] == {
        "value": results[0]["eval/fd_pixels_20"]["value"], "ideal_value": None, "samples": 20, "seed": 0,
        "images_seen": 32, "weights": "ema", "batch_norm": "running", "truncation": None, "version": __version__,
        "real_images": 30, "generated_images": 20, "extractor": "pixels",
        "extractor_fingerprint": pixel_features().fingerprint, "extractor_preprocessing": "to 2x2",
        **{key: results[0]["eval/fd_pixels_20"][key] for key in ("real_content", "real_data", "real_source")},
    }  # fmt: skip
    assert results[0]["eval/raw/kd_pixels_distance_20"].keys() > {"weights", "extractor_fingerprint", "blocks_seed"}


def test_error_for_samples_that_a_metric_does_not_support(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^MS-SSIM halves images"):
        fit(compose(*TINY, f"run.dir={tmp_path}", "dataset.resolution=8", "budget.images=8", "metrics=[ms_ssim]"))


@pytest.mark.parametrize(
    ("metric", "overrides", "sentence"),
    [
        ("gan_lab.metrics.prd.PrecisionRecallCurve", ["evaluation.samples=30"],
         "PrecisionRecallCurve needs equal numbers of generated and real images, but has 30 generated and 1797 real "
         "ones: change evaluation.samples=30 or evaluation.real_images=null, or leave the metric out."),
        ("gan_lab.metrics.prd.PrecisionRecallCurve", ["evaluation.samples=10", "evaluation.real_images=10"],
         "PrecisionRecallCurve needs at least 20 generated images, but has 10: "),
        ("gan_lab.metrics.neighbors.DensityCoverage", ["evaluation.samples=2", "evaluation.real_images=2"],
         "DensityCoverage needs at least 6 real images, but has 2: change evaluation.samples=2 or "
         "evaluation.real_images=2, or leave the metric out."),
        ("gan_lab.metrics.neighbors.PrecisionRecall", ["evaluation.samples=3"],
         "PrecisionRecall needs at least 4 generated images, but has 3: "),
        ("gan_lab.metrics.frechet.FrechetDistance", ["evaluation.samples=1"],
         "FrechetDistance needs at least 2 generated images, but has 1: "),
        ("gan_lab.metrics.frechet.ClassFrechetDistance", ["evaluation.samples=12", "conditioning=concat"],
         r"ClassFrechetDistance needs at least 2 generated images of each class, but has [01] of class \d: "),
        ("gan_lab.metrics.frechet.ClassFrechetDistance", [],
         "ClassFrechetDistance needs a label for each of 10000 images, but got none: "),
    ],
)  # fmt: skip
def test_too_few_samples_are_refused_before_training(
    metric: str, overrides: list[str], sentence: str, tmp_path: Path
) -> None:
    node = f"{{_target_: {metric}, extractor: {{_target_: tests.helpers.pixel_features.pixel_features}}}}"
    data = (
        "dataset.num_classes=10"
        if "conditioning=concat" in overrides or "Class" in metric
        else "dataset.num_classes=null"
    )
    settings = (*TINY, f"run.dir={tmp_path}", "dataset.resolution=8", "budget.images=32", "allow_targets=[tests]")
    cfg = compose(*settings, data, f"+evaluation.metrics.own={node}", *overrides)
    with pytest.raises(ConfigError, match=f"^{sentence}"):
        fit(cfg)
    assert not (tmp_path / "evaluations.csv").exists() and not (tmp_path / "samples" / "final.png").exists()


def test_label_accuracy_needs_a_thousand_samples_and_ends_with_a_sentence(
    tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The classifier returns the pixels, so that the brightest one is the label; digits are dark in the first row."""
    node = "{_target_: gan_lab.metrics.scores.LabelAccuracy, classifier: {_target_: torch.nn.Flatten, _partial_: true}}"
    settings = ("dataset.resolution=8", "conditioning=concat", "budget.images=16", "evaluation.times=1")
    caplog.set_level("INFO")
    fit(tiny(*settings, f"evaluation.metrics.label_accuracy={node}"))
    records = json.loads((tmp_path / "run" / "results.json").read_text())
    assert sorted(records) == ["eval/label_accuracy_1k", "eval/raw/label_accuracy_1k"]
    value = records["eval/label_accuracy_1k"]["value"]
    assert 0 <= value < 0.5
    assert (
        f"{100 * value:.1f} % of 1,000 samples are classified as the label they were generated with (chance: 1.56 %); "
        "train longer" in caplog.text
    )
