"""Run folders that somebody else may have written: `list runs` and `compare` read them as data, and `resume=` says what it cannot use."""

import json
from pathlib import Path

import pytest
from tests.cli.test_trials import RING

from gan_lab.config.comparing import compare
from gan_lab.config.listing import list_runs
from gan_lab.errors import DataError

ROWS = "progress/images_seen,eval/kl_10k\n100,1.0\n"
GOOD = "seed: 0\nbudget: {images: 100}\nobjective: {metric: eval/kl, mode: min}\n"

HOSTILE = {
    "environment": (GOOD.replace("eval/kl", "${oc.env:SECRET}"), ROWS, "{}"),
    "file": (GOOD + "x: ${prepared:/etc,channels}\n", ROWS, "{}"),
    "object": ("!!python/object/apply:os.system ['touch attacked']\n", ROWS, "{}"),
    "list": ("[1, 2]\n", ROWS, "{}"),
    "budget of words": ("budget: {images: many}\n", ROWS, '{"state": "finished"}'),
    "budget without units": ("budget: 5\n", ROWS, '{"state": "finished"}'),
    "deep": ("[" * 5000, ROWS, "{}"),
    "state of lists": (GOOD, ROWS, '["running"]'),
    "process of words": (GOOD, ROWS, '{"state": "running", "host": "x", "process": "all"}'),
    "no yaml": ("a: [", ROWS, "{}"),
    "no numbers": (GOOD, "progress/images_seen,a\nmany,few\n", "{}"),
    "escape": (GOOD, ROWS, '{"state": "failed", "reason": "\\u001b[2Jgone\\nsecond line"}'),
    "module": (GOOD.replace("mode: min", "mode: null") + "allow_targets: [antigravity]\nevaluation: {metrics: {kl: {_target_: "
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
    header, *lines = list_runs(Path("runs")).splitlines()
    assert header.startswith("run ") and len(lines) == 2
    (good,) = [line for line in lines if line.startswith("runs/good")]
    (other,) = [line for line in lines if line.startswith("runs/other")]
    assert "finished" in good and "eval/kl_10k 1" in good
    if name not in (
        "process of words",
        "escape",
        "module",
        "budget without units",
    ):  # which is no word for what was read
        assert "unreadable: " in other, other
    assert "\x1b" not in other and "antigravity" not in sys.modules
    if name == "environment":
        assert "eval/kl_10k" not in other, "the environment was read"
    comparison = compare(Path("runs"), ["eval/*"])
    assert "good" in [run.path.name for group in comparison.groups for run in group.runs]
    assert not (tmp_path / "attacked").exists()


def test_only_hostile_folders(tmp_path: Path) -> None:
    write(tmp_path / "runs/other", *HOSTILE["budget without units"])
    with pytest.raises(DataError, match="holds no finished run"):
        compare(tmp_path / "runs", ["eval/*"])


def test_what_cannot_be_resumed(command, tmp_path: Path) -> None:
    """One sentence for each, and what was named stays as it is."""
    checkpoints = [word for word in RING if "checkpoints" not in word]
    assert command("train", "-m", "seed=0", *checkpoints, "hydra.sweep.dir=sweep").status == 0
    assert command("export", "run=sweep/0", "out=x.safetensors").status == 0
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    for word, sentence in {
        "x.safetensors": "resume=x.safetensors is an export, which holds the weights of one generator and nothing else",
        "sweep": "resume=sweep is the folder of a sweep: to go on with all of it, give its command again with hydra.sweep.dir=sweep",
        "notes.txt": "notes.txt cannot be read: it is cut short, damaged, or no checkpoint.",
        "empty": "empty is no run folder with a checkpoint: empty/checkpoints/last.ckpt is missing.",
        "nothing": "nothing does not exist: give a checkpoint file or a run folder.",
    }.items():
        outcome = command("train", *checkpoints, f"resume={word}", "run.name=new")
        assert outcome.status == 2, outcome.err
        (line,) = [line for line in outcome.err.splitlines() if line.startswith("gan-lab train:")]
        assert sentence in line and "Traceback" not in outcome.err
    assert command("train", "resume=sweep/0").status == 0
