"""`gan-lab evaluate` with several thresholds, on digits and on points."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import gan_lab
from gan_lab.config.compose import compose
from gan_lab.metrics.frechet import FrechetDistance
from gan_lab.reports.truncation_curve import AXES, chart_pairs
from gan_lab.training.fit import fit
from tests.conftest import TINY
from tests.helpers.pixel_features import pixel_features

Command = Callable[..., Any]

SPACE = [
    f"evaluation.metrics.{name}.extractor={{_target_:tests.helpers.pixel_features.pixel_features}}"
    for name in ("fd", "pr")
]
SMALL_SAMPLE = (
    "allow_targets=[tests.helpers.pixel_features]",
    "device=cpu",
    "evaluation.samples=30",
    "evaluation.real_images=40",
    "count=4",
    "truncation=[0.1,1,null]",
    "metrics=[fd,pr]",
    "batch_norm=standing",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "one"
    overrides = [override for override in TINY if "checkpoints" not in override]
    fit(compose(*overrides, "budget.images=16", f"run.dir={folder}", "latent.distribution=normal"))
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, where `run=latest` finds it."""
    return Path(shutil.copytree(trained, tmp_path / "runs/one"))


def test_curve_of_a_run(command: Command, run: Path) -> None:
    outcome = command("evaluate", *SMALL_SAMPLE, *SPACE, "evaluation.metrics.pr.k=2", "seed=5")
    assert outcome.status == 0, outcome.err
    points = json.loads((run / "truncation.json").read_text())
    assert [point["threshold"] for point in points] == [0.1, 1.0, None]
    keys = ["fd_pixels_30", "pr_pixels_precision_30", "pr_pixels_recall_30"]
    for point in points:
        record = point["metrics"]["fd_pixels_30"]
        assert list(point["metrics"]) == keys
        assert record["truncation"] == point["threshold"] and record["batch_norm"] == "standing"
        assert record.get("truncation_form") == ("resample" if point["threshold"] else None)
        # The number is that of samples that Python makes with the same settings.
        metric = FrechetDistance(pixel_features())
        data = gan_lab.config.build.instantiate(compose(*TINY, "run.dir=x").dataset, "dataset")
        metric.update(next(data.reals(40, 40))[0], real=True)
        loaded = gan_lab.load(run, device="cpu")
        metric.update(loaded.sample(30, seed=5, truncation=point["threshold"], batch_norm="standing"))
        assert record["value"] == pytest.approx(float(metric.compute()), rel=1e-6)
    with (run / "truncation.csv").open() as file:
        table = list(csv.reader(file))
    assert table[0] == ["threshold", *keys] and [row[0] for row in table[1:]] == ["0.1", "1", "none"]
    assert f"| 0.1       | {table[1][1]}" in outcome.out
    assert "Protocol: samples 30, weights ema, seed 5, images_seen 16, batch_norm standing, " in outcome.out
    assert "truncation_form resample" in outcome.out and "truncation None" not in outcome.out


def test_figures_of_a_run(command: Command, run: Path) -> None:
    assert command("evaluate", *SMALL_SAMPLE, *SPACE, "evaluation.metrics.pr.k=2", "truncation=[0,1,null]").status == 0
    sheet = np.asarray(Image.open(run / "truncation_samples.png").convert("L")).astype(int)
    assert sheet.shape[1] == 8 + 3 * (240 + 8)  # two thresholds and none
    grids = [sheet[8:248, left : left + 240] for left in (8, 256, 504)]
    half = 120
    # Without any latent all samples are one; with some they differ.
    same = [np.abs(grid[4:116, 4:116] - grid[4 + half : 116 + half, 4:116]).mean() for grid in grids]
    assert same[0] < same[2] / 4, same
    chart = Image.open(run / "truncation.png")
    assert chart.size[0] == 2 * 560 and chart.size[1] > 2 * 320  # three numbers and a pair: two rows of panels


def test_points_have_densities(command: Command, tmp_path: Path) -> None:
    overrides = [override for override in TINY if "checkpoints" not in override]
    fit(compose(*overrides, "budget.images=16", f"run.dir={tmp_path}/ring", "dataset=ring", "architecture=mlp",
                "latent.distribution=normal"))  # fmt: skip
    overrides = (
        "run=ring",
        "device=cpu",
        "evaluation.samples=200",
        "metrics=[points]",
        "batch_norm=running",
        "truncation=[1,null]",
    )
    outcome = command("evaluate", *overrides)
    assert outcome.status == 0, outcome.err
    assert Image.open(tmp_path / "ring/truncation_samples.png").size[0] == 8 + 2 * 248


def test_pairs_that_were_measured() -> None:
    keys = ["fid_50k", "pr_inception_precision_50k", "pr_inception_recall_50k", "score_inception_50k"]
    precision, recall = keys[1:3]
    assert chart_pairs(keys) == [(recall, precision), ("fid_50k", "score_inception_50k")]
    assert chart_pairs(["fd_pixels_30"]) == [] and len(AXES) == 4


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ("truncation=[1,0.5]",),
            "truncation=[1, 0.5] is not allowed: it must be a number, null, or an ascending list of",
        ),
        (("truncation=[-1]",), "an ascending list of numbers, at least 0"),
        (("truncation=[]",), "an ascending list"),
        (("truncation=[null]",), "an ascending list"),
        (("truncation=[null,1]",), "an ascending list"),
        (("truncation=[0.5,true]",), "an ascending list"),
        (("truncation=much",), "truncation=much is not allowed"),
        (("truncation_form=cut", *SPACE), "truncation_form=cut is not known"),
        (("count=0",), "count=0 is not allowed"),
        (("evaluation.samples=0",), "evaluation.samples=0 is not allowed"),
    ],
)
def test_what_is_refused(command: Command, run: Path, overrides: tuple[str, ...], sentence: str) -> None:
    outcome = command("evaluate", *SMALL_SAMPLE, *overrides)
    assert outcome.status == 2 and sentence in outcome.err and outcome.err.count("\n") == 1
    assert not (run / "truncation.json").exists()
