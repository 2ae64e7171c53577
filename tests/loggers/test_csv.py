"""`metrics.csv` of resumed runs: damaged lines, missing rows, rows after the checkpoint."""

import csv
from pathlib import Path

import pytest

from gan_lab.loggers.csv import MetricsFile

STEPS = (0, 100, 200, 300)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A log with a row at each of `STEPS`."""
    logger = MetricsFile(str(tmp_path))
    logger.resume_from(-1)
    for step in STEPS:
        logger.log_metrics({"loss": step / 8, "images": float(step)}, step=step)
    logger.save()
    return tmp_path / "metrics.csv"


def steps(file: Path) -> list[int]:
    with file.open(newline="") as lines:
        return [int(row["step"]) for row in csv.DictReader(lines)]


def resumed(file: Path, images_seen: int = 300, rows: int | None = 4) -> list[int]:
    """Steps in the file after the run was resumed and logged once more."""
    logger = MetricsFile(str(file.parent))
    logger.resume_from(images_seen, rows)
    logger.log_metrics({"loss": 0.0, "new": 1.0}, step=400)
    logger.save()
    return steps(file)


def test_rows_up_to_the_checkpoint_stay(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert resumed(file, 200, rows=3) == [0, 100, 200, 400]
    assert not caplog.records and [each.name for each in file.parent.iterdir()] == ["metrics.csv"]


def test_a_row_of_the_same_images_that_the_checkpoint_does_not_know_goes(file: Path) -> None:
    """A run that was killed after its last checkpoint evaluates again."""
    with file.open("a") as lines:
        lines.write("300.0,99.0,300\n")
    assert resumed(file) == [0, 100, 200, 300, 400]


DAMAGE = {
    "half a row and the next behind it": lambda lines: [*lines[:2], lines[2][:4] + lines[3], *lines[4:]],
    "not a number": lambda lines: [*lines[:2], lines[2].replace("100.0", "abc"), *lines[3:]],
    "zeros": lambda lines: [*lines[:2], "\0" * 40, *lines[3:]],
    "no UTF-8": lambda lines: [*lines[:2], "\udcff\udcfe", *lines[3:]],
    "text in step": lambda lines: [*lines[:2], lines[2][:-3] + "x", *lines[3:]],
    "an open quote": lambda lines: [*lines[:2], '"' + lines[2], *lines[3:]],
    "a huge field": lambda lines: [*lines[:2], "1" * 200_000 + ",1,1", *lines[3:]],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_lines_are_left_out_and_the_file_is_kept(damage, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = file.read_text().splitlines()
    broken = "\n".join(damage(lines)).encode(errors="surrogateescape") + b"\n"
    file.write_bytes(broken)
    found = resumed(file)
    assert 100 not in found and {0, 300, 400} <= set(found)
    assert (file.parent / "metrics.csv.damaged").read_bytes() == broken
    first, second = (record.getMessage() for record in caplog.records)
    assert "damaged lines ([3])" in first and "metrics.csv.damaged" in first
    assert "of the 4 rows up to 300 images" in second


@pytest.mark.parametrize("text", ["loss;images;step\n1;2;3\n", "\0\0\0\n", "loss,loss,step\n1,2,3\n"])
def test_a_file_of_another_kind_is_set_aside(text: str, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text(text)
    assert resumed(file) == [400]
    assert (file.parent / "metrics.csv.damaged").read_text() == text
    assert "lacks 4 of the 4 rows up to 300 images; none is left" in caplog.text


def test_damaged_files_do_not_replace_one_another(file: Path) -> None:
    for _ in range(3):
        file.write_text("x\n")
        resumed(file)
    assert sorted(each.name for each in file.parent.glob("*.damaged*")) == [
        "metrics.csv.damaged", "metrics.csv.damaged_2", "metrics.csv.damaged_3",
    ]  # fmt: skip


@pytest.mark.parametrize(("kept", "sentence"), [(0, "none is left"), (2, "the last is at 100 images")])
def test_missing_rows_are_reported(kept: int, sentence: str, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A power cut leaves an empty file, or one without its last rows."""
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[: kept + 1]) if kept else "")
    assert resumed(file) == [*STEPS[:kept], 400]
    assert f"lacks {4 - kept} of the 4 rows up to 300 images; {sentence}" in caplog.text


def test_a_new_run_begins_with_an_empty_file(file: Path) -> None:
    assert resumed(file, -1, None) == [400]


def test_rows_on_the_disk_are_counted(file: Path) -> None:
    logger = MetricsFile(str(file.parent))
    assert logger.rows_on_disk() is None
    logger.resume_from(200, 3)
    assert logger.rows_on_disk() == 3
    logger.log_metrics({"loss": 1.0}, step=300)
    assert logger.rows_on_disk() == 4 and steps(file) == [0, 100, 200, 300]
