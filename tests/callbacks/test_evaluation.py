"""Numbers on the samples: when they are taken, what they say, and that taking them changes nothing."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.logger import Logger
from tests.conftest import TINY
from tests.evaluating import MEASURED, Scripted, evaluated, lines, settings
from tests.extracting import pixel_features
from torch import Tensor
from torchmetrics import MeanMetric

from gan_lab import __version__
from gan_lab.callbacks.evaluation import EVALUATED_LATENTS, Evaluation
from gan_lab.config.build import build
from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from gan_lab.data.mixtures import ring
from gan_lab.errors import ConfigError
from gan_lab.metrics.measuring import append_records
from gan_lab.metrics.points import HistogramDivergence

pytestmark = pytest.mark.filterwarnings("ignore:Found .* in eval mode", "ignore:Experiment logs directory")

VALUES = ("coverage_modes", "coverage_high_quality", "kl_symmetric", "kl_forward", "kl_reverse", "wasserstein_distance")
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


def test_evaluated_at_its_images_beside_the_log_of_the_training(run: Path) -> None:
    evaluated = [row for row in rows(run) if "eval/seconds" in row]
    trained = [row for row in rows(run) if "train/lr/generator" in row]
    assert [float(row["progress/images_seen"]) for row in evaluated] == [32, 64, 96]
    assert [float(row["progress/images_seen"]) for row in trained] == [40, 80, 96]  # none lost to keys that came later
    for row in evaluated:
        assert {key for key in row if key.startswith("eval/")} == {"eval/seconds"} | {
            f"{prefix}{key}" for key in KEYS for prefix in ("eval/", "eval/raw/")
        }


def test_results_carry_their_protocol(run: Path) -> None:
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
        "value": float(newest["eval/raw/kl_symmetric_700"]), "floor": entry["floor"],
        "weights": "raw", "bins": 50, "extent": 3.0, "eps": 1e-6,
    }  # fmt: skip
    assert results["eval/coverage_modes_700"]["floor"] == 8 and results["eval/coverage_modes_700"]["weights"] == "ema"
    assert results["eval/wasserstein_distance_700"]["points"] == 50


@pytest.mark.parametrize(("average", "key"), [(True, "eval/kl_symmetric_700"), (False, "eval/raw/kl_symmetric_700")])
def test_numbers_are_those_of_the_generator(average: bool, key: str, tmp_path: Path) -> None:
    far_apart = ("lr=0.02", "evaluation.batch_size=700")
    module = fit(compose(*settings(tmp_path, *MEASURED, *far_apart))).module
    metric = HistogramDivergence(ring())
    metric.update(module.generate(module.sample_latents(700, 0, EVALUATED_LATENTS), average=average))
    results = json.loads((tmp_path / "results.json").read_text())
    assert results[key]["value"] == metric.compute()["symmetric"]
    assert results["eval/kl_symmetric_700"]["value"] != results["eval/raw/kl_symmetric_700"]["value"]


def test_training_is_left_alone(tmp_path: Path) -> None:
    """The same weights and statistics, bit for bit, with dropout and batch norm in the networks."""
    layers = ("architecture.generator.norm=batch", "architecture.discriminator.dropout=0.3")
    often = ("evaluation.every_images=8",)
    with_numbers = fit(compose(*settings(tmp_path / "a", *layers, *MEASURED, *often))).module.state_dict()
    without = fit(compose(*settings(tmp_path / "b", *layers))).module.state_dict()
    assert with_numbers.keys() == without.keys() and any("running_mean" in key for key in without)
    for key, value in without.items():
        assert torch.equal(with_numbers[key], value) if isinstance(value, torch.Tensor) else with_numbers[key] == value


def test_labels_are_drawn_for_a_game_with_labels(tmp_path: Path) -> None:
    fit(compose(*settings(tmp_path, *MEASURED, "conditioning=concat")))
    assert json.loads((tmp_path / "results.json").read_text())["eval/coverage_modes_700"]["samples"] == 700


def test_any_torchmetric_will_do(tmp_path: Path) -> None:
    """One without protocol or floor, and with a value that JSON cannot write."""
    cfg = compose(*settings(tmp_path))
    experiment = build(cfg)
    experiment.trainer.callbacks.append(
        Evaluation({"mean": MeanMetric("ignore"), "bad": _Nan()}, str(tmp_path), 96, 700)
    )
    experiment.trainer.fit(experiment.module, datamodule=experiment.data)
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results["eval/mean_700"]) == {
        "value",
        "floor",
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


# --- evaluations.csv, and a run that is resumed


def test_every_number_is_in_the_file_with_its_protocol(run: Path) -> None:
    found = lines(run)
    assert [(int(row["images_seen"]), row["weights"], row["key"]) for row in found] == [
        (seen, weights, row["key"]) for seen in (32, 64, 96) for weights in ("ema", "raw") for row in found[: len(KEYS)]
    ]
    results = json.loads((run / "results.json").read_text())
    for row in found[-2 * len(KEYS) :]:
        record = results[("eval/" if row["weights"] == "ema" else "eval/raw/") + row["key"]]
        assert float(row["value"]) == record.pop("value")
        assert (float(row["floor"]) if row["floor"] else None) == record.pop("floor")
        assert json.loads(row["protocol"]) == record
    logged = {row["progress/images_seen"]: row for row in rows(run) if "eval/seconds" in row}
    for row in found:
        prefix = "eval/" if row["weights"] == "ema" else "eval/raw/"
        assert float(row["value"]) == float(logged[f"{row['images_seen']}"][prefix + row["key"]])


def test_a_resumed_run_has_no_line_twice(tmp_path: Path) -> None:
    words = [word for word in settings(tmp_path, *MEASURED, "evaluation.every_images=30") if "checkpoints" not in word]
    words.append("callbacks.checkpoints.every_images=30")
    fit(compose(*words))
    whole, results = lines(tmp_path), (tmp_path / "results.json").read_text()
    fit(compose(*words, f"resume={tmp_path}/checkpoints/images_0000000064.ckpt"))
    assert lines(tmp_path) == whole and (tmp_path / "results.json").read_text() == results
    # At the very end nothing is left to train. What `gan-lab evaluate` wrote of this checkpoint stays.
    append_records(tmp_path / "evaluations.csv", 96, "ema", {"fid_50k": {"value": 1.5, "floor": None}})
    more = lines(tmp_path)
    fit(compose(*words, f"resume={tmp_path}"))
    assert sorted(lines(tmp_path), key=str) == sorted(more, key=str)
    assert (tmp_path / "results.json").read_text() == results
    shutil.rmtree(tmp_path / "checkpoints")
    fit(compose(*words))  # from the beginning
    assert lines(tmp_path) == whole


# --- metrics of our own


class Recording(MeanMetric):
    """Keeps the labels that it was given."""

    takes_labels = True

    def __init__(self) -> None:
        super().__init__("ignore")
        self.given: list[Tensor] = []

    def update(self, samples: Tensor, labels: Tensor) -> None:  # type: ignore[override]
        self.given.append(labels)
        super().update(samples)


class Told(Logger):
    """A logger that keeps what it is told."""

    name, version = "told", 0

    def __init__(self) -> None:
        super().__init__()
        self.metrics: list[dict[str, float]] = []
        self.protocols: list[dict[str, Any]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.metrics.append(metrics)

    def log_hyperparams(self, params: dict[str, Any], *_: object, **__: object) -> None:
        self.protocols += [params["protocol"]] if "protocol" in params else []


def test_without_metrics_nothing_is_done(tmp_path: Path) -> None:
    logger = Told()
    evaluated(tmp_path, {}, loggers=[logger])
    evaluated(tmp_path, {"none": None}, loggers=[logger])  # as evaluation.metrics.kl=null leaves it
    assert {path.name for path in tmp_path.iterdir()} <= {"config.yaml", "metrics.csv", "surroundings.json"}
    assert not logger.protocols and not any("eval/seconds" in line for line in logger.metrics)


def test_labels_are_those_that_the_samples_were_drawn_with(tmp_path: Path) -> None:
    metric = Recording()
    module = evaluated(tmp_path, {"x": metric}, "conditioning=concat", batch_size=5, every_images=96).module
    expected = module.sample_labels(16, 0, EVALUATED_LATENTS)
    assert expected is not None and [len(part) for part in metric.given] == 2 * [5, 5, 5, 1]  # ema and raw
    assert torch.equal(torch.cat(metric.given), torch.cat([expected, expected]))
    assert len(expected.unique()) > 1


def test_loggers_are_told_the_protocol_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = Told()
    monkeypatch.setattr(CSVLogger, "log_hyperparams", lambda *_: pytest.fail("it makes a file of its own for it"))
    evaluated(tmp_path, {"x": Scripted([1, 2, float("nan")])}, loggers=[logger, CSVLogger(tmp_path, "", "")])
    evaluations = [line for line in logger.metrics if "eval/seconds" in line]
    assert [line["eval/x_up_16"] for line in evaluations[:2]] == [1, 2] and evaluations[2]["eval/x_up_16"] != 2
    assert [line["progress/images_seen"] for line in evaluations] == [32, 64, 96]
    (protocol,) = logger.protocols
    common = {"samples": 16, "seed": 0, "batch_norm": "running", "truncation": None, "version": __version__}
    assert protocol == {
        f"{prefix}x_{part}_16": common | {"weights": weights}
        for prefix, weights in (("eval/", "ema"), ("eval/raw/", "raw"))
        for part in ("up", "down")
    }


# --- features


FEATURES = (
    "allow_targets=[tests.extracting]",
    *(
        f"evaluation.metrics.{name}.extractor={{_target_:tests.extracting.pixel_features}}"
        for name in ("fd", "kd", "pr")
    ),
    "metrics=[fd,kd,pr]",
    "evaluation.samples=20",
    "evaluation.real_images=30",
    "evaluation.max_share=1",
)


def test_training_is_left_alone_by_metrics_of_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On digits, with the images learned in the one run and read from the cache in the other."""
    monkeypatch.setenv("GAN_LAB_CACHE", str(tmp_path / "cache"))
    words = [*TINY, "budget.images=32", "augment=diffaugment", "dataset.flip=true"]
    states, results = [], []
    for name, more in {"a": FEATURES, "b": FEATURES, "c": ()}.items():
        measured = [*more, "evaluation.every_images=8"] if more else []
        states.append(fit(compose(*words, f"run.dir={tmp_path / name}", *measured)).module.state_dict())
        results += [json.loads((tmp_path / name / "results.json").read_text())] if more else []
    assert any("running_mean" in key for key in states[0])
    for key, value in states[2].items():
        for other in (state[key] for state in states[:2]):
            assert torch.equal(other, value) if isinstance(value, torch.Tensor) else other == value
    assert results[0] == results[1] and len(list((tmp_path / "cache/reals").glob("*.pt"))) == 2
    assert results[0]["eval/fd_pixels_20"] == {
        "value": results[0]["eval/fd_pixels_20"]["value"], "floor": None, "samples": 20, "seed": 0, "images_seen": 32,
        "weights": "ema", "batch_norm": "running", "truncation": None, "version": __version__, "real_images": 30, "generated_images": 20,
        "extractor": "pixels", "extractor_fingerprint": pixel_features().fingerprint, "extractor_preprocessing": "to 2x2",
        "real_content": results[0]["eval/fd_pixels_20"]["real_content"], "real_split": None,
    }  # fmt: skip
    assert results[0]["eval/raw/kd_pixels_distance_20"].keys() > {"weights", "extractor_fingerprint", "blocks_seed"}


def test_samples_that_a_metric_refuses_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^MS-SSIM halves images"):
        fit(compose(*TINY, f"run.dir={tmp_path}", "dataset.resolution=8", "budget.images=8", "metrics=[ms_ssim]"))
