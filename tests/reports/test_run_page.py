"""The page of a run: everything in it, for any content of the folder, with all texts escaped."""

import csv
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from gan_lab.errors import ConfigError, DataError
from gan_lab.reports import run_page
from gan_lab.reports.run_page import write_report
from gan_lab.runs.findings import Figure, Finding, write_finding
from gan_lab.training import fit as fitting
from tests.helpers.html_reader import Node, read_page

EVIL = "<script>alert('run')</script>"
RECORD = {
    "value": 12.5,
    "ideal_value": 0.5,
    "weights": "ema",
    "samples": 10000,
    "seed": 0,
    "batch_norm": "running",
    "truncation": None,
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder as `gan-lab train` leaves it after 3 of 4 records."""
    folder = tmp_path / "runs" / "mine"
    (folder / "samples").mkdir(parents=True)
    (folder / ".hydra").mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump({"run": {"name": EVIL}, "budget": {"images": 400}, "seed": 3}))
    choices = {"model": "dcgan", "local": "default", "debug": None, "hydra/help": "train"}
    (folder / ".hydra/hydra.yaml").write_text(yaml.safe_dump({"hydra": {"runtime": {"choices": choices}}}))
    (folder / ".hydra/overrides.yaml").write_text(yaml.safe_dump(["lr=1e-4", f"run.name={EVIL}"]))
    rows: list[dict[str, float]] = []
    for k in (1, 2, 3):
        rows.append(
            {
                "progress/images_seen": 100 * k,
                "progress/images_per_second": 10 / k,
                "train/logits/real": k,
                "time/data": (0.4, 0.35, 4 / 30)[k - 1],  # a quarter of 60 seconds
                "time/other": (0.6, 0.65, 26 / 30)[k - 1],
            }
        )
        rows.append({"progress/images_seen": 100 * k, "eval/fid_10k": 50 / k, "eval/raw/fid_10k": 60 / k})
    with (folder / "metrics.csv").open("w", newline="") as lines:
        writer = csv.DictWriter(lines, sorted({key for row in rows for key in row}))
        writer.writeheader()
        writer.writerows(rows)
    warning = {"time": 1.7e9, "images_seen": 200, "level": "WARNING", "text": f"a sign of collapse {EVIL}"}
    (folder / "warnings.jsonl").write_text(json.dumps(warning) + "\n")
    (folder / "environment.json").write_text(json.dumps([{"torch": "2.9", "cuda": None, "command": ["a", "b c"]}]))
    for images in (0, 100, 200):
        for kind in ("ema", "raw"):
            Image.new("L", (900, 900), 100).save(folder / "samples" / f"{kind}_{images:010d}.png")
    Image.new("RGB", (64, 64), "red").save(folder / "samples/real.png")
    return folder


def headings(page: Node) -> list[str]:
    return [node.text for node in page.all("h2")]


def charts(page: Node) -> dict[str, Node]:
    return {figure.all("figcaption")[0].text: figure for figure in page.all("figure", "chart")}


def test_everything_is_on_the_page(run: Path) -> None:
    page = read_page(write_report(run))
    assert page.all("h1")[0].text == f"{EVIL}running"
    assert "300 of 400 images seen in 1:00 min" in page.text  # 100 / 10 + 100 / 5 + 100 / 3.33 seconds
    assert headings(page) == [
        "Warnings", "Samples", "Samples over images seen, from the same latents", "Metrics of the samples",
        "Discriminator outputs", "Speed and schedule", "Settings", "Hardware and versions",
    ]  # fmt: skip
    assert set(charts(page)) == {
        "fid 10k",
        "Logits",
        "Images per second",
        "Fractions of the time",
        "Where the time went",
    }
    points = [node.text for node in charts(page)["fid 10k"].all("circle")]
    assert points[:3] == ["averaged: 50 at 100 images", "averaged: 25 at 200 images", "averaged: 16.67 at 300 images"]
    assert [node.text for node in charts(page)["Where the time went"].all("span")] == ["data 25.0 %", "other 75.0 %"]
    assert page.all("code")[0].text == f'gan-lab train lr=1e-4 "run.name={EVIL}"'
    assert "model=dcgan" in page.text and "local=default" not in page.text and "seed: 3" in page.all("pre")[0].text
    assert "a 'b c'" in page.text and "cuda" not in page.text


def test_columns_of_starts_are_wide_enough_for_a_phone(run: Path) -> None:
    """Four starts side by side scroll; numbers of parameters are text."""
    starts = [
        {"torch": f"2.{k}", "parameters": {"generator": 5 + k}, "command": ["x", "run.name='py'"]} for k in range(4)
    ]
    (run / "environment.json").write_text(json.dumps(starts))
    page = read_page(write_report(run))
    (table,) = [card for card in page.all("div", "scroll") if "torch" in card.text]
    rows = {row.all("th")[0].text: [cell.text for cell in row.all("td")] for row in table.all("tr")}
    assert rows["torch"] == ["2.3", "2.2", "2.1", "2.0"]
    assert rows["parameters"][0] == "generator 8" and rows["command"][0] == "x run.name=py"
    assert ".scroll td:not(.number) { min-width: 180px; }" in page.all("style")[0].text


def test_one_value_is_not_called_constant(run: Path) -> None:
    rows = "progress/images_seen,eval/fid_10k,eval/raw/fid_10k,train/lr/generator\n100,3,4,0.5\n200,,,0.5\n"
    (run / "metrics.csv").write_text(rows)
    text = read_page(write_report(run)).text
    assert "One value only: fid 10k: averaged 3, raw 4." in text
    assert "Constant: Learning rates: generator 0.5." in text


def test_figures_are_small_and_link_to_the_files(run: Path, tmp_path: Path) -> None:
    page = read_page(write_report(run))
    sizes = {node.attributes["title"]: int(node.attributes["width"]) for node in page.all("img")}
    assert sizes["averaged generator, 200 images seen"] == run_page.FIGURE_SIZE and sizes["real"] == 64
    assert sizes["raw, 100 images seen"] == run_page.FRAME_SIZE and len(page.all("img")) == 3 + 2 * 3
    for link in page.all("a"):
        assert (run / link.attributes["href"]).is_file()
    assert not read_page(write_report(run, tmp_path / "elsewhere/page.html")).all("a")


def test_texts_of_a_run_run_nothing(run: Path) -> None:
    (run / "config.yaml").write_text(yaml.safe_dump({"run": {"name": EVIL}, EVIL: EVIL}))
    (run / "results.json").write_text(json.dumps({f"eval/{EVIL}": RECORD | {"note": EVIL}}))
    (run / "environment.json").write_text(json.dumps([{EVIL: EVIL}]))
    (run / "state.json").write_text(json.dumps({"state": f'x" {EVIL}', "reason": EVIL}))
    (run / "metrics.csv").write_text(f"progress/images_seen,{EVIL},eval/{EVIL}\n1,2,3\n2,3,4\n")
    page = read_page(write_report(run))
    assert not page.all("script") and page.text.count(EVIL) > 10


def test_final_numbers_with_protocol_and_ideal_value(run: Path) -> None:
    (run / "results.json").write_text(
        json.dumps({"eval/fid_10k": RECORD, "eval/raw/fid_10k": RECORD | {"value": None}})
    )
    page = read_page(write_report(run))
    assert "fid 10k12.5raw nan, perfect 0.5" in page.all("div", "tile")[0].text.replace("\n", "")
    row = page.all("table")[1].all("tr")[1]
    assert [cell.text for cell in row.all("td")] == [
        "eval/fid_10k", "12.5", "0.5", "samples 10000, weights ema, seed 0, batch_norm running",
    ]  # fmt: skip
    assert len(charts(page)["fid 10k"].all("line", "level")) == 1


def test_numbers_of_a_run_that_was_killed_come_from_its_evaluations(run: Path) -> None:
    lines = [["images_seen", "weights", "key", "value", "ideal_value", "protocol"]]
    lines += [[str(n), "ema", "fid_10k", str(n / 10), "0.5", json.dumps({"samples": 10})] for n in (100, 200)]
    with (run / "evaluations.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    assert "fid 10k20" in read_page(write_report(run)).all("div", "tile")[0].text.replace("\n", "")


def state_of(run: Path, **options: Any) -> tuple[str, str]:
    page = read_page(write_report(run, **options))
    return page.all("span", "badge")[0].text, page.all("p")[0].text


def grow_old(run: Path) -> None:
    for file in [run, *run.rglob("*")]:
        os.utime(file, (time.time() - 7200,) * 2)


def test_states(run: Path) -> None:
    assert state_of(run)[0] == "running"
    assert state_of(run, ended=True)[0] == "stopped"
    (run / "report.html").unlink()
    grow_old(run)
    state, headline = state_of(run)
    assert state == "stopped" and "(its last write was 2:00 h ago)" in headline
    (run / "state.json").write_text(json.dumps({"state": "failed", "reason": "NonFiniteError", "images_seen": 350}))
    state, headline = state_of(run)
    assert state == "failed" and headline.startswith("350 of 400") and "(NonFiniteError)" in headline
    (run / "state.json").unlink()
    (run / "config.yaml").write_text(yaml.safe_dump({"budget": {"images": 300}}))
    assert state_of(run) == ("finished", "300 of 300 images seen in 1:00 min of training")


def test_half_written_files(run: Path) -> None:
    """Folders after `kill -9`, and files that gan_lab never writes."""
    text = (run / "metrics.csv").read_text()
    (run / "metrics.csv").write_text(text + "12,0.1e")
    figure = run / "samples/ema_0000000200.png"
    figure.write_bytes(figure.read_bytes()[:200])
    for name in ("results.json", "state.json", "environment.json", "warnings.jsonl", ".hydra/hydra.yaml"):
        (run / name).write_text('{"a": [1, {')
    page = read_page(write_report(run))
    assert "300 of 400 images seen" in page.text and "fid 10k" in charts(page)
    for name in ("results.json", "state.json", "environment.json", "warnings.jsonl", "config.yaml"):
        (run / name).write_text("[1, null]")
    read_page(write_report(run))


def test_next_to_nothing(run: Path) -> None:
    for file in run.rglob("*.*"):
        if file.is_file() and file.name != "config.yaml":
            file.unlink()
    assert headings(read_page(write_report(run))) == ["Settings"]
    (run / "config.yaml").unlink()
    with pytest.raises(DataError, match=r"neither config.yaml nor metrics.csv"):
        write_report(run)
    with pytest.raises(ConfigError, match=r"^run=.*nowhere is not a directory"):
        write_report(run / "nowhere")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs the device that never ends")
def test_a_device_in_the_place_of_a_file_is_not_read(run: Path) -> None:
    (run / "metrics.csv").unlink()
    (run / "metrics.csv").symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"metrics\.csv is a link that leads out of the run folder"):
        write_report(run)


def test_every_run_leaves_a_report(tiny: Callable[..., Any]) -> None:
    cfg = tiny("budget.images=32", "logger=[csv]", "callbacks.train_log.every_batches=1")
    fitting.fit(cfg)
    page = read_page(Path(cfg.run.dir) / "report.html")
    assert "finished" in page.all("h1")[0].text and "Loss terms: generator" in charts(page)
    assert {"torch", "device", "gan lab", "python"} <= {node.text for node in page.all("th")}
    fractions = {
        name: float(fraction)
        for name, fraction in re.findall(
            r"(\w+) ([\d.]+) %", charts(page)["Where the time went"].all("div", "fractions")[0].text
        )
    }
    assert {"data", "discriminator", "generator", "ema", "logging", "other"} <= set(fractions)
    assert sum(fractions.values()) == pytest.approx(100, abs=0.5) and fractions["discriminator"] > fractions["ema"]


def test_so_does_one_that_fails(tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = tiny("budget.images=64", "logger=[csv]", "callbacks.train_log.every_batches=1")
    begun = []

    def fail(*_: object) -> None:
        begun.append(1)
        if len(begun) == 3:
            raise ArithmeticError("the third batch")

    monkeypatch.setattr("gan_lab.gans.base.AdversarialModule.on_train_batch_start", fail)
    with pytest.raises(ArithmeticError):
        fitting.fit(cfg)
    page = read_page(Path(cfg.run.dir) / "report.html")
    assert "16 of 64 images seen" in page.text and "finished" not in page.all("h1")[0].text
    assert page.all("table")[0].all("td")[-1].text == "ArithmeticError: the third batch"


def test_a_page_that_cannot_be_written_changes_nothing(
    tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_page, "write_page", full)
    cfg = tiny("budget.images=16")
    assert fitting.fit(cfg).module.images_seen == 16
    assert "report.html could not be written: [Errno 28] No space left on device" in caplog.text
    assert not (Path(cfg.run.dir) / "report.html").exists()


def test_the_command(command: Callable[..., Any], run: Path) -> None:
    outcome = command("report")
    assert outcome.status == 0 and outcome.out == f"Written to {Path('runs/mine/report.html')}.\n"
    read_page(run / "report.html")
    outcome = command("report", "run=runs/yours")
    assert (
        outcome.status == 2
        and outcome.err
        == "gan-lab report: run=runs/yours is not a directory: give the folder of a run of gan-lab train.\n"
    )
    for file in run.rglob("config.yaml"):
        file.unlink()
    outcome = command("report")
    assert outcome.status == 2 and outcome.err.startswith("gan-lab report: run=latest finds no run under runs")


def test_charts_of_a_run_line_up(run: Path) -> None:
    """A curve that ends before the run ends inside its chart; parts of the time have the colors of the bar."""
    with (run / "metrics.csv").open("a") as lines:
        lines.write(",,,800,,,\n")
    page = read_page(write_report(run))
    ends = {
        name: float(chart.all("circle")[-1].attributes["cx"])
        for name, chart in charts(page).items()
        if chart.all("circle")
    }
    assert len(set(ends.values())) == 1 and next(iter(ends.values())) < 300
    assert [node.text.split()[0] for node in charts(page)["Fractions of the time"].all("span")] == ["data", "other"]


def test_findings_are_sections_of_the_page(run: Path) -> None:
    folder = run / "inside/probe"
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "maps.png")
    table = [["features", "accuracy"], [EVIL, "0.5"]]
    found = Finding(f"Probe {EVIL}", table, "1,000 labels", ["a note"], [Figure("maps.png", EVIL)], ["gan-lab", "a b"])
    write_finding(folder, found)
    page = read_page(write_report(run))
    assert f"Probe {EVIL}" in headings(page)
    cells = [cell.text for cell in page.all("td")]
    assert EVIL in cells and "0.5" in cells
    assert "gan-lab 'a b'" in [code.text for code in page.all("code")]
    assert EVIL in [image.attributes["alt"] for image in page.all("img")]
    assert page.all("a")[-1].attributes["href"] == "inside/probe/maps.png"


@pytest.mark.parametrize(
    "change",
    [
        {"table": [["a"], ["b", "c"]]},
        {"table": 3},
        {"notes": "text"},
        {"figures": [{"file": "../x.png", "caption": ""}]},
        {"figures": [{}]},
        {"title": None, "command": None},
    ],
)
def test_damaged_findings_are_left_out(run: Path, change: dict[str, Any]) -> None:
    folder = run / "inside/probe"
    folder.mkdir(parents=True)
    write_finding(folder, Finding("Probe"))
    assert "Probe" in headings(read_page(write_report(run)))
    found = json.loads((folder / "finding.json").read_text()) | change
    (folder / "finding.json").write_text(json.dumps(found))
    assert "Probe" not in headings(read_page(write_report(run)))
