"""The sentence on how a run went, and the facts at the head of its report."""

import csv
import json
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
    [(0.1, "nearly alike"), (0.5, "less diverse"), (0.95, "they are diverse"), (1.5, "more than")],
)
def test_diversity_and_no_collapse(tmp_path: Path, ratio: float, ending: str) -> None:
    text = verdict(run_of(tmp_path, [], ratio))
    assert text.startswith(f"Two samples differ {ratio:.2f} times") and ending in text
    assert text.endswith("; no collapse was detected.")


def test_labels_and_a_collapse(tmp_path: Path) -> None:
    warning = {"text": "After 9,000 images the run shows signs of a collapse, since 7,000: two samples differ"}
    (tmp_path / "warnings.jsonl").write_text(json.dumps(warning) + "\n")
    text = verdict(run_of(tmp_path, [], 0.9, **{"eval/label_accuracy_10k": 0.976}))
    assert text.endswith("; labels are obeyed in 98 % of the samples; signs of a collapse since 7,000 images.")


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
