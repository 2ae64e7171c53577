"""Numbers on the samples: when they are taken, what they say, and that taking them changes nothing."""

import csv
import json
from pathlib import Path

import pytest
import torch
from tests.conftest import TINY
from torchmetrics import MeanMetric

from gan_lab import __version__
from gan_lab.callbacks.evaluation import EVALUATED_LATENTS, Evaluation
from gan_lab.config.build import build
from gan_lab.config.compose import compose
from gan_lab.config.fit import fit
from gan_lab.data.mixtures import ring
from gan_lab.errors import ConfigError
from gan_lab.metrics.points import HistogramDivergence

POINTS = ("dataset=ring", "architecture=mlp", "architecture.generator.norm=none", "budget.images=96")
MEASURED = (
    "metrics=points",
    "evaluation.samples=700",
    "evaluation.metrics.wasserstein.points=50",
    "evaluation.max_share=1",
)
VALUES = ("coverage_modes", "coverage_high_quality", "kl_symmetric", "kl_forward", "kl_reverse", "wasserstein_distance")
KEYS = {f"{value}_700" for value in VALUES}


def settings(folder: Path, *more: str) -> list[str]:
    return [*TINY, *POINTS, f"run.dir={folder}", "logger=[csv]", *more]


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
    common = {"samples": 700, "seed": 0, "images_seen": 96, "batch_norm": "running", "version": __version__}
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
