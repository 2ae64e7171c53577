"""The sentence on how a run went, and the facts at the head of its report."""

import csv
import json
import math
from pathlib import Path

import pytest

from gan_lab.reports.verdict import identity, parameters, verdict
from gan_lab.runs.folder import RunFolder

KEYS = ("progress/images_seen", "train/accuracy/real", "train/accuracy/fake")


def run_of(folder: Path, accuracies: list[float], diversity: float | None = None, **more: float) -> RunFolder:
    """A run with a row at each 100 images: the mean accuracy of the discriminator; the rest in the last row."""
    rows = [
        dict(zip(KEYS, (100 * k, value - 0.01, value + 0.01), strict=True)) for k, value in enumerate(accuracies, 1)
    ] or [{KEYS[0]: 100}]
    rows[-1] |= more if diversity is None else {"collapse/diversity": diversity} | more
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, sorted({key for row in rows for key in row}))
        writer.writeheader()
        writer.writerows(rows)
    return RunFolder(folder)


@pytest.mark.parametrize(
    ("accuracies", "sentence"),
    [
        ([0.95, 0.6], "classifies 60 % of real and generated images correctly, so it is not far ahead"),
        (
            [0.95, 0.6, 0.92, 0.95],
            "classifies 95 % of real and generated images correctly: it has been far ahead since 300 images",
        ),
        ([0.97], "it has been far ahead since 100 images"),
    ],
)
def test_the_players(tmp_path: Path, accuracies: list[float], sentence: str) -> None:
    text = verdict(run_of(tmp_path, accuracies))
    assert text.startswith("The discriminator") and text.endswith(f"{sentence}.")


@pytest.mark.parametrize(
    ("ratio", "ending"),
    [(0.1, "nearly alike"), (0.5, "less diverse"), (0.95, "they are diverse"), (1.5, "more than"), (math.nan, "not f")],
)
def test_diversity(tmp_path: Path, ratio: float, ending: str) -> None:
    text = verdict(run_of(tmp_path, [], ratio))
    assert text.startswith("The samples have" if math.isnan(ratio) else f"Two samples differ {ratio:.2f} times")
    assert ending in text


def test_one_image_for_each_class_is_not_diverse(tmp_path: Path) -> None:
    text = verdict(run_of(tmp_path, [], 0.95, **{"collapse/diversity_in_class": 0.2}))
    assert "and two of one class 0.20 times as much as two real ones of that class, so they are nearly alike" in text


@pytest.mark.parametrize(
    ("settings", "checks", "sentence"),
    [
        ("", [10_000, 20_000], "collapse was not checked, which takes 3 checks from 30,000 images on"),
        ("", [20_000, 30_000, 40_000], "collapse was not checked, which takes 3 checks from 30,000 images on"),
        ("", [30_000, 40_000, 50_000], "no collapse was detected"),
        ("budget: {images: 900000}", [30_000, 40_000, 50_000], "3 checks from 90,000 images on"),
        ("callbacks: {collapse: {warmup_images: 0, patience: 1}}", [1000], "no collapse was detected"),
        ("callbacks: {collapse: [0]}", [1000], "collapse was not checked, which takes 3 checks from 30,000 images on"),
    ],
)
def test_no_collapse_needs_enough_checks(tmp_path: Path, settings: str, checks: list[int], sentence: str) -> None:
    (tmp_path / "config.yaml").write_text(settings)
    lines = ["progress/images_seen,collapse/diversity", *(f"{images},0.9" for images in checks)]
    (tmp_path / "metrics.csv").write_text("\n".join(lines) + "\n")
    assert verdict(RunFolder(tmp_path)).endswith(f"{sentence}.")


@pytest.mark.parametrize(
    ("warning", "since"),
    [
        ("After 9,000 images the run shows signs of a collapse, since 7,000: two samples differ", "7,000"),
        ("After 9,000 images the largest singular value of x is 3, which is a sign of collapse. Check", "9,000"),
    ],
)
def test_labels_and_a_collapse(tmp_path: Path, warning: str, since: str) -> None:
    (tmp_path / "warnings.jsonl").write_text(json.dumps({"text": warning}) + "\n")
    text = verdict(run_of(tmp_path, [], 0.9, **{"eval/label_accuracy_10k": 0.976}))
    assert text.endswith(f"; labels are obeyed in 97.6 % of the samples; signs of a collapse since {since} images.")


def test_labels_with_the_values_of_real_images_and_of_chance(tmp_path: Path) -> None:
    record = {"value": 0.976, "ideal_value": 0.994, "samples": 1000, "classes": 4}
    (tmp_path / "results.json").write_text(json.dumps({"eval/label_accuracy_1k": record}))
    assert verdict(run_of(tmp_path, [])) == (
        "Labels are obeyed in 97.6 % of 1,000 samples (real images: 99.4 %, chance: 25 %)."
    )


def test_values_that_are_not_finite_are_not_good_news(tmp_path: Path) -> None:
    assert verdict(run_of(tmp_path, [math.nan], **{"eval/label_accuracy_1k": math.nan})) == ""


def test_a_run_without_a_log_has_none(tmp_path: Path) -> None:
    assert verdict(RunFolder(tmp_path)) == "" and identity(RunFolder(tmp_path)) == []


def test_identity(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 3\n")
    start = {"parameters": {"generator": 1234, "discriminator": 5}, "training_images": 1797, "gan_lab": "0.1.0"}
    (tmp_path / "environment.json").write_text(json.dumps([{}, start | {"commit": "abc123"}]))
    assert identity(RunFolder(tmp_path)) == [
        ("seed", "3"), ("parameters", "generator 1,234, discriminator 5"), ("training images", "1,797"),
        ("code", "gan_lab 0.1.0, commit abc123"),
    ]  # fmt: skip
    (tmp_path / "environment.json").write_text(json.dumps([{"parameters": [1], "training_images": "many"}]))
    assert identity(RunFolder(tmp_path)) == [("seed", "3")] and parameters(RunFolder(tmp_path)) == {}
