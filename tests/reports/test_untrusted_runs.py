"""Foreign run folders: `runs` and `compare` read them as data, and `resume=` reports what it cannot use."""

import json
import os
import shutil
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from gan_lab.errors import DataError
from gan_lab.reports.compare import compare_runs
from gan_lab.reports.comparison import compare
from gan_lab.reports.listing import list_runs
from gan_lab.reports.run_page import write_report
from gan_lab.runs.folder import RunFolder
from gan_lab.runs.search import find_runs
from tests.cli.test_trials import RING

ROWS = "progress/images_seen,eval/kl_10k\n100,1.0\n"
GOOD = "seed: 0\nbudget: {images: 100}\nobjective: {metric: eval/kl, mode: min}\n"

HOSTILE = {
    "environment": (GOOD.replace("eval/kl", "${oc.env:SECRET}"), ROWS, "{}"),
    "file": (GOOD + "x: ${prepared:/etc,channels}\n", ROWS, "{}"),
    "object": ("!!python/object/apply:os.system ['touch attacked']\n", ROWS, "{}"),
    "list": ("[1, 2]\n", ROWS, "{}"),
    "budget of text": ("budget: {images: many}\n", ROWS, '{"state": "finished"}'),
    "budget without units": ("budget: 5\n", ROWS, '{"state": "finished"}'),
    "deep": ("[" * 5000, ROWS, "{}"),
    "state of lists": (GOOD, ROWS, '["running"]'),
    "process of text": (GOOD, ROWS, '{"state": "running", "host": "x", "process": "all"}'),
    "no yaml": ("a: [", ROWS, "{}"),
    "no numbers": (GOOD, "progress/images_seen,a\nmany,some\n", "{}"),
    "escape": (GOOD, ROWS, '{"state": "failed", "reason": "\\u001b[2Jgone\\nsecond line"}'),
    "aliases": (GOOD + "a: &a [1, 1]\nb: &b [*a, *a]\n", ROWS, "{}"),
    "columns": (GOOD, ROWS.replace("\n", "," + ",".join(["1"] * 20_000) + "\n"), "{}"),
    "field": (GOOD, ROWS.replace("1.0", "1" * 200_000), "{}"),
    "images of text": (GOOD, ROWS, '{"state": "finished", "images_seen": "x"}'),
    "module": (GOOD.replace("mode: min",
    "mode: null") + "allow_targets: [antigravity]\nevaluation: {metrics: {kl: {_target_: "
               "antigravity.fly}}}\n", ROWS, "{}"),
}  # fmt: skip


def write(folder: Path, config: str, rows: str, state: str) -> None:
    (folder / ".hydra").mkdir(parents=True)
    (folder / "config.yaml").write_text(config)
    (folder / "metrics.csv").write_text(rows)
    (folder / "state.json").write_text(state)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_folder_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET", "eval/kl_10k")
    write(tmp_path / "runs/good", GOOD, ROWS, json.dumps({"state": "finished", "images_seen": 100}))
    write(tmp_path / "runs/other", *HOSTILE[name])
    header, *lines = str(list_runs(Path("runs"))).splitlines()
    assert header.startswith("run ") and len(lines) == 2
    (good,) = [line for line in lines if line.startswith("runs/good")]
    (other,) = [line for line in lines if line.startswith("runs/other")]
    assert "finished" in good and "eval/kl_10k 1" in good
    if name not in ("process of text", "escape", "module", "budget without units"):  # their other keys are listed
        assert "unreadable: " in other, other
    assert "\x1b" not in other and "antigravity" not in sys.modules
    if name == "environment":
        assert "eval/kl_10k" not in other, "the environment was read"
    comparison = compare(Path("runs"), ["eval/*"])
    assert "good" in [run.path.name for group in comparison.groups for run in group.runs]
    assert not (tmp_path / "attacked").exists()


RESULT = {"eval/kl_10k": {"value": 1.0, "ideal_value": 0.0, "samples": 100}}
VALUE = "eval/kl_10k"
CONTENTS = {
    "results.json": [[], [1], 3, None, "x", {VALUE: "x"}, {VALUE: {}}, {VALUE: {"value": "x"}}, {VALUE: {"value": []}},
                     {VALUE: {"value": 1, "ideal_value": "x"}}, {VALUE: {"value": 1, "samples": "x"}},
                     {VALUE: {"value": 10**400}}],
    "state.json": [[], {"state": 3}, {"state": "running", "process": -1}, {"images_seen": [], "reason": {}}],
    "environment.json": [{}, [1], [{"time": [], "command": 3}], "x"],
    ".hydra/overrides.yaml": [{}, [None], [{"a": 1}], 3],
    ".hydra/hydra.yaml": [[], {"hydra": []}, {"hydra": {"runtime": {"choices": [1]}}}, {"hydra": {"runtime": 3}}],
    "warnings.jsonl": [[], {"level": 3}, {"time": "x", "images_seen": [], "level": "ERROR", "text": {}}],
    "config.yaml": [[], {"budget": []}, {"budget": {"images": "x"}}, {"run": []}, {"seed": {"a": []}}],
}  # fmt: skip
"""Contents of another kind, as JSON, which is YAML too."""
BYTES = (b"\xff\xfe\n", bytes(100), b"[" * 100_000, b'x,y\n1,2,3\n"', None)
"""Damage of any file; None is a pipe, which would be read forever."""


@pytest.fixture
def two_runs(tmp_path: Path) -> Path:
    """A folder with the finished runs `good` and `other`."""
    for name in ("good", "other"):
        folder = tmp_path / "runs" / name
        write(folder, GOOD, ROWS, json.dumps({"state": "finished", "images_seen": 100}))
        (folder / "samples").mkdir()
        for file in ("ema_0000000000.png", "ema_0000000100.png", "real.png"):
            Image.new("L", (8, 8)).save(folder / "samples" / file)
    return tmp_path / "runs"


@pytest.mark.parametrize("name", [*CONTENTS, "metrics.csv", "evaluations.csv"])
def test_every_command_reads_every_damaged_file(name: str, two_runs: Path) -> None:
    """A damaged file costs its own contents; the runs beside it are compared."""
    for content in (*(json.dumps(content).encode() + b"\n" for content in CONTENTS.get(name, ())), *BYTES):
        put(two_runs / "other" / name, content)
        assert len(list_runs(two_runs)) == 2
        with suppress(DataError):  # without config and rows there is nothing to report
            write_report(two_runs / "other")
        compared = [run.path.name for group in compare(two_runs, ["eval/*"]).groups for run in group.runs]
        assert "good" in compared, content


@pytest.mark.parametrize("name", ["ema_0000000100.png", "real.png"])
def test_every_command_reads_every_damaged_figure(name: str, two_runs: Path) -> None:
    for content in (*BYTES, HUGE):
        for run in ("good", "other"):  # the first is on the sheet
            put(two_runs / run / "samples" / name, content)
        write_report(two_runs / "other")
        assert "sheet.png" in compare_runs(two_runs, ["eval/*"], 3).files


def put(file: Path, content: bytes | None) -> None:
    file.unlink(missing_ok=True)
    file.write_bytes(content) if content is not None else os.mkfifo(file)


def _png(width: int, height: int) -> bytes:
    """A PNG file of a few bytes that claims this size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(bytes(100)), b"IEND"]
    body = b"".join(struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


HUGE = _png(50_000, 50_000)


def test_a_log_above_the_limit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, GOOD, ROWS, "{}")
    monkeypatch.setattr("gan_lab.files.MAX_TEXT_BYTES", 20)
    assert "metrics.csv cannot be read: it has 0 MB, more than the limit of 0 MB" in RunFolder(tmp_path).damage
    monkeypatch.setattr("gan_lab.runs.run_files.MAX_COLUMNS", 1)
    monkeypatch.setattr("gan_lab.files.MAX_TEXT_BYTES", 10_000)
    assert RunFolder(tmp_path).damage == ["metrics.csv has 2 columns, more than the limit of 1"]


def test_loops_of_links_are_searched_once(two_runs: Path) -> None:
    """A link to its own folder has 40 paths, two have 2^40; a link to a run is the same run."""
    (two_runs / "loop").symlink_to(".")
    (two_runs / "best").symlink_to("other")
    assert [run.path.name for run in list_runs(two_runs, sort="name")] == ["good", "other"]
    assert [run.path.name for group in compare(two_runs, ["eval/*"]).groups for run in group.runs] == ["good", "other"]


@pytest.mark.parametrize("target", ["elsewhere/run", "elsewhere", "/"])
def test_links_that_lead_out_of_a_folder_of_runs(target: str, two_runs: Path, tmp_path: Path) -> None:
    """They are named and not followed: behind them may be anything, such as the root of the disk."""
    shutil.copytree(two_runs / "good", tmp_path / "elsewhere/run")
    link = two_runs / "out"
    link.symlink_to(tmp_path / target)
    assert find_runs(two_runs) == [two_runs / "good", two_runs / "other", link]
    listed = {run.path.name: run.reason for run in list_runs(two_runs)}
    sentence = f"{link} is a link that leads out of the folder {two_runs}; name its target instead"
    assert sentence in listed["out"] and "unreadable" not in listed["good"]
    compared = compare(two_runs, ["eval/*"])
    assert compared.refused == {"out": sentence} and sum(len(group.runs) for group in compared.groups) == 2
    if target == "elsewhere/run":  # a link that is named is one's own
        assert [run.path for run in list_runs(link)] == [link] and "unreadable" not in str(list_runs(link))


def test_only_hostile_folders(tmp_path: Path) -> None:
    write(tmp_path / "runs/other", *HOSTILE["budget without units"])
    with pytest.raises(DataError, match="contains no finished run"):
        compare(tmp_path / "runs", ["eval/*"])


def test_what_cannot_be_resumed(command, tmp_path: Path) -> None:
    """One sentence for each, and what was named stays as it is."""
    checkpoints = [override for override in RING if "checkpoints" not in override]
    assert command("train", "-m", "seed=0", *checkpoints, "hydra.sweep.dir=sweep").status == 0
    assert command("export", "run=sweep/0", "out=x.safetensors").status == 0
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    for override, sentence in {
        "x.safetensors": "resume=x.safetensors is an export, which contains the weights of one generator but not",
        "sweep": "is the folder of a sweep: to resume the sweep, repeat its command with hydra.sweep.dir=sweep",
        "notes.txt": "notes.txt cannot be read: it is incomplete, damaged, or not a checkpoint.",
        "empty": "empty is not a run folder with a checkpoint: empty/checkpoints/last.ckpt is missing.",
        "nothing": "nothing does not exist: give a checkpoint file or a run folder.",
    }.items():
        outcome = command("train", *checkpoints, f"resume={override}", "run.name=new")
        assert outcome.status == 2, outcome.err
        (line,) = [line for line in outcome.err.splitlines() if line.startswith("gan-lab train:")]
        assert sentence in line and "Traceback" not in outcome.err
    assert command("train", "resume=sweep/0").status == 0
