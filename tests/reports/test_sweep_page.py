"""The page of a sweep: the best first, every run reachable, every failed one with its reason."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from PIL import Image

from gan_lab.reports.compare import compare_runs
from gan_lab.reports.comparison import compare
from gan_lab.reports.run_page import write_report
from gan_lab.reports.sweep_page import is_higher_better, swept_keys
from gan_lab.runs.folder import read_finished
from tests.helpers.html_reader import Node, read_page

EVIL = "<script>alert('run')</script>"
METRICS = {
    "kl": {"_target_": "gan_lab.metrics.points.HistogramDivergence"},
    "coverage": {"_target_": "gan_lab.metrics.points.ModeCoverage"},
    "stacked": {"_target_": "gan_lab.metrics.digits.StackedModes"},
    "theirs": {"_target_": "os.path.join"},
}

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A run of a sweep over lr and loss, with two numbers of one divergence."""

    def write(name: str, kl: float, lr: float = 0.1, loss: str = "hinge", seed: int = 0, seen: int = 200) -> Path:
        folder = tmp_path / "runs" / name
        (folder / ".hydra").mkdir(parents=True)
        (folder / "samples").mkdir()
        config = {
            "seed": seed,
            "lr": lr,
            "budget": {"images": 200},
            "loss": {"name": loss},
            "run": {"dir": str(folder)},
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config | {"evaluation": {"metrics": METRICS}}))
        (folder / ".hydra/hydra.yaml").write_text(yaml.safe_dump({"hydra": {"runtime": {"choices": {"loss": loss}}}}))
        (folder / ".hydra/overrides.yaml").write_text(yaml.safe_dump([f"lr={lr}", f"loss={loss}", f"seed={seed}"]))
        with (folder / "metrics.csv").open("w", newline="") as lines:
            rows = [["progress/images_seen", "eval/kl_10k"], [100, 2 * kl], [seen, kl]]
            csv.writer(lines).writerows(rows)
        record = {"value": kl, "ideal_value": 0.01, "samples": 10_000}
        (folder / "results.json").write_text(json.dumps({"eval/kl_10k": record}))
        for figure in ("ema_0000000200", "real"):
            Image.new("L", (20, 20), 90).save(folder / "samples" / f"{figure}.png")
        return folder

    return write


def page_of(root: Path, out: Path | None = None) -> Node:
    compare_runs(root, ["eval/*"], 6, out)
    return read_page((out or root) / "sweep.html")


def board(page: Node) -> list[list[str]]:
    (table,) = (t for t in page.all("table") if t.attributes.get("id") == "leaderboard")
    return [[cell.text for cell in row.all("td")] for row in table.all("tbody")[0].all("tr")]


def test_the_best_is_first_and_seeds_are_one_row(make: Make, tmp_path: Path) -> None:
    make("0", 3.0)
    make("1", 1.0, lr=0.2)
    make("2", 2.0, lr=0.2, seed=1)
    make("3", 9.0, lr=0.3, loss="wasserstein")
    page = page_of(tmp_path / "runs")
    rows = board(page)
    assert [row[:3] for row in rows] == [
        ["1, 2", "lr=0.2", "1.5 ± 0.71"], ["0", "lr=0.1", "3"], ["3", "lr=0.3", "9"],
    ]  # fmt: skip
    assert [node.text for node in page.all("span", "best")] == ["1.5 ± 0.71"]
    assert [node.attributes["aria-sort"] for node in page.all("th", "sorts") if "aria-sort" in node.attributes] == [
        "ascending"
    ]
    values = [row.all("td")[2].attributes["data-value"] for row in page.all("tbody")[0].all("tr")]
    assert list(map(float, values)) == [1.5, 3.0, 9.0]
    assert "(perfect sampler)0.01" in page.all("tfoot")[0].text.replace("\n", "")
    lines = {path.text for path in page.all("path", "row")}
    assert lines == {
        "lr=0.1 (lr: 0.1, loss: hinge, kl_10k: 3)", "lr=0.2 (lr: 0.2, loss: hinge, kl_10k: 1.5)",
        "lr=0.3 (lr: 0.3, loss: wasserstein, kl_10k: 9)",
    }  # fmt: skip
    assert [figure.all("figcaption")[0].text for figure in page.all("figure") if figure.all("img")] == [
        "lr=0.2 (kl_10k 1.5 ± 0.71)", "lr=0.1 (kl_10k 3)", "lr=0.3 (kl_10k 9)", "real",
    ]  # fmt: skip
    (chart,) = (figure for figure in page.all("figure", "chart") if figure.all("path", "strong"))
    assert "lr=0.2: 3 at 100 images" in [node.text for node in chart.all("circle")]


@pytest.mark.parametrize("out", [None, "some where/else"])
def test_links_lead_to_the_reports(make: Make, tmp_path: Path, out: str | None) -> None:
    write_report(make("a b#1", 1.0))
    make("plain", 2.0, seed=1)
    folder = tmp_path / "runs" if out is None else tmp_path / out
    page = page_of(tmp_path / "runs", None if out is None else folder)
    (link,) = page.all("a")
    assert (folder / unquote(link.attributes["href"])).resolve() == tmp_path / "runs/a b#1/report.html"
    assert link.text == "seed 0" and "seed 1" in page.text


def test_failed_runs_have_their_reason(make: Make, tmp_path: Path) -> None:
    make("0", 1.0)
    write_report(make("1", 1.0, lr=0.5, seen=120))
    (tmp_path / "runs/2/.hydra").mkdir(parents=True)
    page = page_of(tmp_path / "runs")
    (table,) = (t for t in page.all("table") if t.attributes.get("id") == "left-out")
    rows = [[cell.text for cell in row.all("td")] for row in table.all("tr")[1:]]
    assert [row[0] for row in rows] == ["1", "2"]
    assert rows[0][1].startswith("it has seen 120 of 200 images") and rows[1][1].startswith("it has no config.yaml")
    assert [link.attributes["href"] for link in table.all("a")] == ["1/report.html"]


def test_texts_run_nothing(make: Make, tmp_path: Path) -> None:
    make("0", 1.0, loss=EVIL)
    make(EVIL.replace("/", "-"), 2.0, seen=10)
    make("2", 3.0, loss="other")
    page = page_of(tmp_path / "runs")
    (script,) = page.all("script")
    assert "alert" not in script.text and page.text.count(EVIL) >= 3


def test_what_is_better_is_asked_of_our_metrics_alone(make: Make) -> None:
    run = read_finished(make("0", 1.0))
    assert is_higher_better(run, "eval/kl_symmetric_10k") is False
    assert is_higher_better(run, "eval/coverage_modes_10k") is True
    assert is_higher_better(run, "eval/stacked_modes_10k") is True
    assert is_higher_better(run, "eval/raw/stacked_reverse_kl_10k") is False
    assert is_higher_better(run, "eval/theirs_10k") is None and is_higher_better(run, "train/d/adversarial") is None


def test_swept_keys_are_what_was_typed(make: Make, tmp_path: Path) -> None:
    make("0", 1.0)
    make("1", 2.0, loss="wasserstein")
    assert swept_keys(compare(tmp_path / "runs", ["eval/*"]).groups) == ["loss"]
    for run in (tmp_path / "runs").iterdir():
        for file in (run / ".hydra").iterdir():
            file.unlink()
    assert swept_keys(compare(tmp_path / "runs", ["eval/*"]).groups) == ["loss.name"]


def test_one_run_needs_no_coordinates(make: Make, tmp_path: Path) -> None:
    make("0", 1.0)
    assert "Parallel coordinates" not in page_of(tmp_path / "runs").text


def test_the_script_sorts_what_the_page_has(make: Make, tmp_path: Path) -> None:
    """Structure that the script needs: a named table with one body, and a value in every sortable cell."""
    make("0", 1.0)
    page: Any = page_of(tmp_path / "runs")
    (script,) = page.all("script")
    assert 'getElementById("leaderboard")' in script.text
    heads = page.all("th", "sorts")
    for row in page.all("tbody")[0].all("tr"):
        assert all("data-value" in cell.attributes for cell in row.all("td")[: len(heads)])
