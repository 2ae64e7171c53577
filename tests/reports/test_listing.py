"""`gan-lab runs` finds every run, however it ended, and `gan-lab compare` reports why it leaves one out."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gan_lab.errors import ConfigError
from gan_lab.reports.listing import list_runs, read_listed_run
from gan_lab.runs.folder import SILENT_SECONDS
from gan_lab.runs.search import find_runs
from tests.conftest import SMALL

CONFIG = "budget: {images: 100}\nobjective: {metric: eval/kl, mode: min}\n"
ROWS = "progress/images_seen,eval/kl_10k\n50,1.0\n60,nan\n75,3.0\n"


def run(folder: Path, config: str | None = CONFIG, rows: str | None = ROWS, age: float = 0, **state: object) -> Path:
    """A run folder as it is left behind."""
    (folder / ".hydra").mkdir(parents=True)
    for name, text in {
        "config.yaml": config,
        "metrics.csv": rows,
        "state.json": json.dumps(state) if state else None,
    }.items():
        if text is not None:
            (folder / name).write_text(text)
    for path in [folder, *folder.iterdir()]:
        os.utime(path, (time.time() - age,) * 2)
    return folder


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


HERE = {"host": socket.gethostname(), "process": os.getpid()}


@pytest.mark.parametrize(
    ("given", "state", "progress"),
    {
        "no note, all seen": ({"rows": ROWS.replace("75", "100")}, "finished", "100 %"),
        "no note, lately": ({}, "running", "75 %"),
        "no note, long ago": ({"age": 2 * SILENT_SECONDS}, "stopped", "75 %"),
        "no config": ({"config": None, "rows": None, "age": 2 * SILENT_SECONDS}, "failed", "0"),
        "no numbers yet": ({"rows": None, "state": "running", "images_seen": 10, **HERE}, "running", "10 %"),
        "running here": ({"state": "running", "age": 9999, **HERE}, "running", "75 %"),
        "running elsewhere": ({"state": "running", "host": "elsewhere", "process": 1, "age": 9999}, "running", "75 %"),
        "finished": ({"state": "finished"}, "finished", "75 %"),
        "stopped": ({"state": "stopped", "reason": "SIGTERM"}, "stopped", "75 %"),
        "failed": ({"state": "failed", "reason": "no disk"}, "failed", "75 %"),
    }.values(),
)  # fmt: skip
def test_states(given: dict, state: str, progress: str, tmp_path: Path) -> None:
    found = read_listed_run(run(tmp_path / "x", **given))
    assert (found.state, found.progress()) == (state, progress)
    assert found.reason == given.get(
        "reason", "its settings were invalid, or it has not started" if "config" in given else ""
    )


def test_a_killed_run_was_stopped(tmp_path: Path) -> None:
    found = read_listed_run(run(tmp_path / "x", state="running", host=socket.gethostname(), process=dead_process()))
    assert (found.state, found.reason) == ("stopped", "killed")


@pytest.mark.parametrize(
    ("objective", "best"),
    {
        "{metric: eval/kl, mode: min}": "eval/kl_10k 1 at 50 images",
        "{metric: eval/kl, mode: max}": "eval/kl_10k 3 at 75 images",
        "{metric: null, mode: min}": "eval/kl_10k 1 at 50 images",
        "{metric: eval/kl, mode: null}": "eval/kl_10k 3 at 75 images",  # the last: the direction is unknown
        "{metric: eval/other, mode: min}": "",
    }.items(),
)
def test_best_number(objective: str, best: str, tmp_path: Path) -> None:
    config = (
        CONFIG.replace("{metric: eval/kl, mode: min}", objective)
        + "evaluation: {metrics: {other: null, fd: {_target_: x.y}}}\n"
    )
    assert read_listed_run(run(tmp_path / "x", config=config)).metric == best


def test_runs_of_before_there_was_an_objective(tmp_path: Path) -> None:
    kl = "{_target_: gan_lab.metrics.points.HistogramDivergence}"
    found = read_listed_run(
        run(tmp_path / "x", config=f"budget: {{images: 100}}\nevaluation: {{metrics: {{kl: {kl}}}}}\n")
    )
    assert found.metric == "eval/kl_10k 1 at 50 images"


def test_one_table_of_all_the_newest_first(tmp_path: Path) -> None:
    run(tmp_path / "old", age=7200, rows=ROWS.replace("75", "100"))
    run(tmp_path / "multirun/sweep/0", age=60, state="failed", reason="lr=0 is not allowed.")
    broken = run(tmp_path / "broken", age=600)
    (broken / "state.json").write_text("{")
    os.utime(broken / "state.json", (time.time() - 600,) * 2)
    os.utime(broken, (time.time() - 600,) * 2)
    header, *lines = str(list_runs(tmp_path)).splitlines()
    assert header.split("  ")[0] == "run" and header.endswith("last write")
    patterns = [
        r"\S*multirun/sweep/0 +- +- +- +failed +75 % +- +eval/kl_10k 1 at .* +1:0\d min ago +lr=0 is not allowed\.",
        r"\S*broken +- +- +- +failed +0 +- +10:\d\d min ago +unreadable: .+",
        r"\S*old +- +- +- +finished +100 % +- +eval/kl_10k 1 at 50 images +2:00 h ago",
    ]
    assert len(lines) == 3
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), line


def test_order_and_choice(tmp_path: Path) -> None:
    """Each order of `sort`, and parts of texts that all are in a run's columns."""
    for name, (model, seed, kl) in {"b": ("dcgan", 10, 2.0), "a": ("wgan", 9, 3.0), "c": ("dcgan", 2, 1.0)}.items():
        folder = run(tmp_path / name, config=f"{CONFIG}seed: {seed}\n", rows=f"progress/images_seen,eval/kl\n9,{kl}\n")
        (folder / "state.json").write_text('{"state": "failed", "reason": "wgan_gp has no width"}')
        notes = f"hydra: {{runtime: {{choices: {{model: {model}, dataset: mnist}}}}}}"
        (folder / ".hydra/hydra.yaml").write_text(notes)

    def names(*asked: str | None) -> str:
        return "".join(each.path.name for each in list_runs(tmp_path, *asked))

    assert (names("name"), names("seed"), names("best")) == ("abc", "cab", "cba")
    assert sorted(names("model")[:2]) == ["b", "c"] and set(names("age")) == set("abc")
    assert (names("name", "DCGAN mnist"), names("name", "seed=9"), names("name", "x")) == ("bc", "a", "")
    assert (names("name", "wgan"), names("name", "width"), names("name", "9")) == ("a", "", "a")  # reasons do not count
    assert (names("name", "model=gan"), names("name", "model=wgan dataset=mnist"), names("name", "state=fail")) == (
        "", "a", "",
    )  # fmt: skip
    assert str(list_runs(tmp_path, "age", "x")) == f"There are no runs below {tmp_path} with filter=x."


def test_where_there_are_none(tmp_path: Path) -> None:
    assert str(list_runs(tmp_path)) == f"There are no runs below {tmp_path}."
    with pytest.raises(ConfigError, match="is not a directory"):
        list_runs(tmp_path / "nowhere")


def test_commands_see_what_a_sweep_left(command, tmp_path: Path) -> None:
    command("train", "-m", "batch_size=15,16", "accumulate=2", "hydra.sweep.dir=runs/s", *SMALL)
    listed = command("runs")
    assert listed.status == 0
    assert re.search(r"^runs/s/0 +dcgan +digits +- +failed +0 .*batch_size=15 does not", listed.out, re.MULTILINE)
    assert re.search(r"^runs/s/1 +dcgan +digits +0 +finished +100 % ", listed.out, re.MULTILINE)
    compared = command("compare", "runs", "show=[train/*/*]")
    assert compared.status == 0, compared.err
    assert re.search(r"Left out: s/0: .*no config.*batch_size=15", compared.out)


def test_a_single_run_records_why_it_failed(command, tmp_path: Path) -> None:
    command("train", "lr=1e18", "run.name=x", *SMALL)
    assert read_listed_run(tmp_path / "runs/x").reason.startswith("Training stopped because")


def test_a_group_may_stand_alone(command) -> None:
    assert command("list", "loss").out == command("list", "what=loss").out != ""
    assert "choose from all, algorithm" in command("list", "nothing").err


def test_a_run_that_is_removed_while_runs_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here after its folder was found, or after its parent was read."""
    for name in ("kept", "removed"):
        run(tmp_path / name)

    def find(root: Path) -> list[Path]:
        found = list(find_runs(root))
        shutil.rmtree(tmp_path / "removed")
        return found

    monkeypatch.setattr("gan_lab.reports.listing.find_runs", find)
    assert [each.path.name for each in list_runs(tmp_path).runs] == ["kept"]
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.setattr(Path, "is_file", lambda path: (gone.exists() and gone.rmdir()) or os.path.isfile(path))
    assert [path.name for path in find_runs(tmp_path)] == ["kept"]
